"""The rows of a measurement: what is to be measured, then what was found or why there is nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.calibration import Peaks
from msnoah.deploy.device import Device
from msnoah.deploy.measurement import Samples
from msnoah.deploy.parity import Parity
from msnoah.deploy.profile import LOCAL, Profile
from msnoah.deploy.side_worker import open_worker
from msnoah.deploy.sustained import Sustained
from msnoah.deploy.telemetry import Telemetry
from msnoah.deploy.worker_process import WorkerProcess


@dataclass
class Row:
    """What is to be measured, then what was found; `error` says why there is nothing.

    `open_worker` makes the process that measures it, on the device that `device_name` says; None: here, by its runtime.
    """

    runtime: str
    threads: int
    artifact: Artifact | None = None
    precision: str = "fp32"  # the artifact that was asked for
    device_name: str = LOCAL
    open_worker: Callable[[], WorkerProcess] | None = None
    worker: WorkerProcess | None = None
    device: Device | None = None  # as read before its worker loaded anything
    load_after: float | None = None  # load average after the last run
    loaded: dict[str, Any] = field(default_factory=dict)
    samples: Samples = field(default_factory=Samples)
    peak_memory_mb: float | None = None
    outputs: list[np.ndarray] = field(default_factory=list)
    operators: list = field(default_factory=list)
    peaks: Peaks | None = None  # of its device at as many threads
    energy_j: float | None = None  # of one run
    telemetry: Telemetry | None = None  # after the last run
    sustained: Sustained | None = None
    parity: Parity | None = None
    notes: list[str] = field(default_factory=list)
    operator_notes: list[str] = field(default_factory=list)
    cut_short: str | None = None  # what ended the measurement before it had all its runs
    finished: Profile | None = None  # of an earlier measurement that was resumed
    error: str | None = None

    def start_worker(self) -> WorkerProcess:
        """The process that measures the row; RuntimeUnavailableError if its side environment is not there."""
        return self.open_worker() if self.open_worker else open_worker(self.runtime)


@dataclass(frozen=True)
class FailedRow:
    """A row without figures and the reason, in one line."""

    runtime: str
    threads: int
    batch_size: int
    reason: str
    precision: str = "fp32"
    device_name: str = LOCAL

    def __str__(self) -> str:
        precision = "" if self.precision == "fp32" else f", {self.precision}"
        place = "" if self.device_name == LOCAL else f" on {self.device_name}"
        return f"{self.runtime}, threads {self.threads}, batch {self.batch_size}{precision}{place}: {self.reason}"


class Profiles(list[Profile]):
    """The rows that were measured; `failures` holds those that were not."""

    def __init__(self, profiles: list[Profile], failures: list[FailedRow]):
        super().__init__(profiles)
        self.failures = failures

    def describe_failures(self) -> list[str]:
        """One line a reason, with the rows that it holds for: `litert, threads 1,2, batch 1: not installed`."""
        grouped: dict[tuple, list[FailedRow]] = {}
        for row in self.failures:
            grouped.setdefault((row.runtime, row.device_name, row.batch_size, row.reason), []).append(row)
        return [_describe(rows) for rows in grouped.values()]


def _describe(rows: list[FailedRow]) -> str:
    """Rows that fail alike and differ in threads and precision."""
    first = rows[0]
    threads = ",".join(map(str, sorted({row.threads for row in rows})))
    precisions = list(dict.fromkeys(row.precision for row in rows))
    precision = "" if precisions == ["fp32"] else f", {','.join(precisions)}"
    place = "" if first.device_name == LOCAL else f" on {first.device_name}"
    return f"{first.runtime}, threads {threads}, batch {first.batch_size}{precision}{place}: {first.reason}"
