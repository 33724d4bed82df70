"""A profile: raw latencies of one artifact in one runtime, and the circumstances they were taken in."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.calibration import Peaks
from msnoah.deploy.calm import Estimate, estimate
from msnoah.deploy.device import Device
from msnoah.deploy.measurement import Round, Samples
from msnoah.deploy.noise import find_noise
from msnoah.deploy.parity import Parity
from msnoah.deploy.runtimes.base import OperatorTime
from msnoah.deploy.statistics import median_interval, percentile
from msnoah.deploy.sustained import Sustained
from msnoah.deploy.telemetry import Telemetry
from msnoah.errors import ProfileError, RunFolderError
from msnoah.run_folder import read_json, write_json

LOCAL = "local"
"""The device_name of the machine that msnoah runs on."""

Metric = Literal["wall", "cpu"]


class Profile(BaseModel):
    """One row of a measurement; percentiles are computed from the raw latencies, never stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    artifact: str  # file name
    sha256: str
    size_bytes: int
    verified: bool | None  # None: no export.json speaks of this file
    max_rel: float | None  # largest relative difference that the export's verification found
    runtime: str
    version: str
    precision: str
    threads: int = Field(ge=1)
    thread_control: str
    batch_size: int = Field(ge=1)
    inputs: list[TensorSpec]
    device: Device
    device_name: str = LOCAL
    warmup: int
    wall_ms: list[float] = Field(min_length=1)
    cpu_ms: list[float] = Field(min_length=1)  # of all threads of the process
    rounds: list[Round] = []  # which runs followed each other; none in profiles of earlier versions
    interval_goal: float | None = None  # width of the median's interval that runs were added for
    load_after: float | None = None  # load average after the last run; `device` has the one before the first
    telemetry_after: Telemetry | None = None
    energy_j: float | None = None  # of the whole board for one run, where it has a counter or a sensor
    sustained: Sustained | None = None
    peak_memory_mb: float | None  # peak resident set of the whole process, runtime included
    load_ms: float
    first_run_ms: float
    operators: list[OperatorTime]  # a row a node in running order; by kind where the runtime gives no more
    peaks: Peaks | None = None  # of the machine at as many threads, measured in the same minutes
    parity: Parity | None
    notes: list[str]
    operator_notes: list[str] = []  # what the times by operator lack
    cut_short: str | None = None  # why there are fewer runs than were asked for: the device was lost
    msnoah: str
    commit: str | None
    started: str  # ISO 8601, UTC

    @property
    def repeats(self) -> int:
        """Runs that were recorded."""
        return len(self.wall_ms)

    @property
    def key(self) -> tuple[str, str, int, int, str]:
        """Which row this is: what two measurements of a run are matched by."""
        return self.device_name, self.runtime, self.threads, self.batch_size, self.precision

    @property
    def file_name(self) -> str:
        """The name under which a run folder keeps this row; what is as usual is left out of it."""
        unusual = "" if self.precision == "float32" else f"-{self.precision}"
        place = "" if self.device_name == LOCAL else f"@{self.device_name}"
        return f"{self.runtime}-t{self.threads}-b{self.batch_size}{unusual}{place}.json"

    @property
    def label(self) -> str:
        """Which row this is, for people: `onnxruntime, 1 thread, batch 1`; what is as usual is left out of it."""
        unusual = "" if self.precision == "float32" else f", {self.precision}"
        place = "" if self.device_name == LOCAL else f" on {self.device_name}"
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.runtime}, {threads}, batch {self.batch_size}{unusual}{place}"

    def samples(self, metric: Metric) -> list[float]:
        """Raw latencies in milliseconds."""
        return {"wall": self.wall_ms, "cpu": self.cpu_ms}[metric]

    def percentile(self, q: float, metric: Metric = "wall") -> float:
        """The q-th percentile (0-100) in milliseconds."""
        return percentile(self.samples(metric), q)

    def estimate(self, metric: Metric = "cpu") -> Estimate:
        """The median over calm rounds and how well it is known, in milliseconds (see msnoah.deploy.calm)."""
        return estimate(self.samples(metric), self.rounds)

    @property
    def reference_ms(self) -> float | None:
        """CPU time of the reference work at its fastest: how fast the machine was; None where it was not timed."""
        times = [one.reference_ms for one in self.rounds]
        return None if None in times else min(times, default=None)

    def mean(self, metric: Metric = "wall") -> float:
        """Arithmetic mean in milliseconds."""
        return sum(self.samples(metric)) / self.repeats

    def median_interval(self, metric: Metric = "wall") -> tuple[float, float]:
        """95 % interval of the median in milliseconds."""
        return median_interval(self.samples(metric))

    def warnings(self) -> list[str]:
        """What a reader must know before trusting these figures, in words."""
        unverified = "this artifact is not verified: its outputs may differ from the model's"
        samples = Samples(self.wall_ms, self.cpu_ms, rounds=self.rounds)
        noise = find_noise(samples, self.threads, self.device.cores, self.device.load_average, self.interval_goal)
        differs = self.parity.describe(self.precision) if self.parity else None
        cut = f"cut short after {self.repeats} runs: {self.cut_short}" if self.cut_short else None
        return [*filter(None, [cut, unverified if self.verified is False else None, differs]), *noise, *self.notes]

    def to_record(self) -> dict[str, Any]:
        """All fields as what json can write; load_profile reads them back to an equal profile."""
        return self.model_dump(mode="json")

    def save(self, path: Path) -> None:
        """Writes the profile as JSON, as one atomic replacement."""
        write_json(path, self.to_record())


def load_profile(path: str | Path) -> Profile:
    """Reads a profile.

    Raises:
        ProfileError: no such file, not JSON, or a field that is missing or wrong, with file and line.
    """
    path = Path(path)
    try:
        return Profile.model_validate(read_json(path))
    except RunFolderError as error:
        raise ProfileError(str(error)) from error
    except ValidationError as error:
        fault = error.errors()[0]
        dotted = ".".join(map(str, fault["loc"]))
        raise ProfileError(f"{path}:{_find_line(path, fault['loc'])}: {dotted}: {fault['msg'].lower()}") from error


def _find_line(path: Path, location: tuple[str | int, ...]) -> int:
    """The line of the last key of a location that the file holds, 1 where it holds none."""
    text, position = path.read_text(encoding="utf-8"), 0
    for key in location:
        found = text.find(json.dumps(key) + ":", position) if isinstance(key, str) else -1
        position = max(position, found)
    return text.count("\n", 0, position) + 1
