"""What measuring needs of an inference runtime: two small protocols."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.runtimes.requirement import Requirement


@dataclass(frozen=True)
class OperatorTime:
    """All operators of one type in a graph: how many, milliseconds a run, share of the time of all operators (0-1)."""

    operator: str
    count: int
    ms: float
    share: float


class Session(Protocol):
    """An artifact that is loaded and ready to run."""

    inputs: Sequence[TensorSpec]

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs once: arrays in the order of `inputs` -> outputs in the artifact's order, computed when it returns."""

    def operators(self, feeds: Sequence[np.ndarray], runs: int) -> list[OperatorTime]:
        """Times by operator type from the runtime's own profiler, in a pass that is not part of the latency."""


class Runtime(Protocol):
    """One way to run an artifact; an instance lives in its own process."""

    name: str
    kind: str  # the artifact kind that it loads
    thread_control: str  # how the number of threads is kept
    requirements: Sequence[Requirement]  # first what runs, then what converts for it
    purpose: str  # what it is for, in a few words
    operator_times: bool  # whether its sessions give times by operator

    def prepare(self, threads: int) -> None:
        """Sets what must stand before the runtime is imported in this process."""

    def version(self) -> str:
        """The installed version; RuntimeUnavailableError says how to get a runtime that is missing."""

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """What `load` takes: the artifact itself, or what it becomes in the runtime's own format for one batch size."""

    def load(self, artifact: Artifact, threads: int) -> Session:
        """Loads what `convert` gave; it will use `threads` threads."""


NodeTimes = Mapping[tuple[str, str], list[float]]
"""(operator, node) -> milliseconds of each run of a profiled pass."""


def median_times(durations: NodeTimes) -> list[OperatorTime]:
    """The median of each node over the runs after the first, added up by operator."""
    times: dict[str, tuple[int, float]] = {}
    for (operator, _), node in durations.items():
        count, ms = times.get(operator, (0, 0.0))
        times[operator] = count + 1, ms + statistics.median(node[1:] or node)
    return operator_shares(times)


def operator_shares(times: dict[str, tuple[int, float]]) -> list[OperatorTime]:
    """{operator: (count, ms a run)} -> rows with shares, the dearest first."""
    total = sum(ms for _, ms in times.values()) or 1.0
    rows = [OperatorTime(operator=name, count=count, ms=ms, share=ms / total) for name, (count, ms) in times.items()]
    return sorted(rows, key=lambda row: row.ms, reverse=True)
