"""What measuring needs of an inference runtime: two small protocols, and times by operator in one form for all."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.runtimes.requirement import EnvironmentRequirement, Requirement


@dataclass(frozen=True)
class OperatorTime:
    """A node as a runtime runs it; where a runtime tells no more, all nodes of one kind together.

    Attributes:
        operator: its kind, in the runtime's words.
        count: nodes in this row: 1, or all of the kind.
        ms: milliseconds a run, the median of the faster half of the profiled runs.
        share: of the time of all operators (0-1).
        node: its name in the runtime; "" of a sum.
        sources: nodes or values of the artifact that it stands for, as far as the runtime tells.
        auxiliary: a copy or change of layout beside what it names, which the artifact does not have.
        module: the module of the network, "" of what the network does itself; None where that is not known.
        macs: multiply-accumulates, from the artifact's graph; None where that is not known.
        bytes: what it reads from and leaves for others, each once, from the artifact's graph; None likewise.
    """

    operator: str
    count: int
    ms: float
    share: float
    node: str = ""
    sources: tuple[str, ...] = ()
    auxiliary: bool = False
    module: str | None = None
    macs: int | None = None
    bytes: int | None = None


class Session(Protocol):
    """An artifact that is loaded and ready to run."""

    inputs: Sequence[TensorSpec]

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs once: arrays in the order of `inputs` -> outputs in the artifact's order, computed when it returns."""

    def operators(self, feeds: Sequence[np.ndarray], runs: int) -> list[OperatorTime]:
        """Times of nodes from the runtime's own profiler, in running order, from a pass that is no part of the latency.

        Rows by kind where it gives no more, none where it gives nothing.
        """


class Runtime(Protocol):
    """One way to run an artifact; an instance lives in its own process."""

    name: str
    kinds: Sequence[str]  # of artifacts that it takes, the one that suits it best first
    thread_control: str  # how the number of threads is kept
    requirements: Sequence[Requirement | EnvironmentRequirement]  # first what runs, then what converts for it
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


@runtime_checkable
class RunsElsewhere(Protocol):
    """What a Runtime has as well whose sessions live in another environment than this Python's."""

    def worker_command(self) -> Sequence[str]:
        """What starts a process that answers as msnoah.deploy.worker does; RuntimeUnavailableError if it is missing."""


class NodeKey(NamedTuple):
    """A node in a runtime: its kind, its name, and a number that tells nodes of one name apart."""

    operator: str
    node: str
    number: int = 0


class Origin(NamedTuple):
    """What a runtime's node stands for in the artifact; see OperatorTime."""

    sources: tuple[str, ...] = ()
    auxiliary: bool = False


NodeTimes = Mapping[NodeKey, list[float]]
"""Milliseconds of each time that a node ran in a profiled pass, nodes in running order."""


def median_times(
    durations: NodeTimes, runs: int, origins: Mapping[NodeKey, Origin] | None = None
) -> list[OperatorTime]:
    """A row a node: the median of the faster half of `runs` runs, the first left out.

    Profilers take wall time, which other programs only lengthen. What runs several times in one run is added up.
    """
    medians = {key: _median_run(times, runs) for key, times in durations.items()}
    total = sum(medians.values()) or 1.0
    found = origins or {}
    return [
        OperatorTime(key.operator, 1, ms, ms / total, key.node, *found.get(key, Origin()))
        for key, ms in medians.items()
    ]


def _median_run(times: list[float], runs: int) -> float:
    """The median of the faster half; the mean where a node did not run equally often in each run, as in a loop."""
    calls, rest = divmod(len(times), runs)
    if rest or not calls:
        return sum(times) / runs
    each_run = [sum(times[start:start + calls]) for start in range(0, len(times), calls)]
    ordered = sorted(each_run[1:] or each_run)
    return statistics.median(ordered[:(len(ordered) + 1) // 2])
