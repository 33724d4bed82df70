"""A profile: raw latencies of one artifact in one runtime, and the circumstances they were taken in."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.device import Device
from msnoah.deploy.measurement import Samples, find_noise
from msnoah.deploy.runtimes.base import OperatorTime
from msnoah.deploy.statistics import median_interval, percentile
from msnoah.errors import ProfileError, RunFolderError
from msnoah.run_folder import read_json, write_json

PARITY_LIMIT = 1e-3  # max relative difference between runtimes above which they do not run the same model
WRONG = 1e-2  # and above which no precision or approximation explains it: the runtime computes something else

LOCAL = "local"
"""The device_name of the machine that msnoah runs on."""

Metric = Literal["wall", "cpu"]


class Parity(BaseModel):
    """How far the outputs on the measured input are from another runtime's: max |difference| / max |reference|."""

    model_config = ConfigDict(frozen=True)

    against: str
    max_rel: float


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
    peak_memory_mb: float | None  # peak resident set of the whole process, runtime included
    load_ms: float
    first_run_ms: float
    operators: list[OperatorTime]
    parity: Parity | None
    notes: list[str]
    msnoah: str
    commit: str | None
    started: str  # ISO 8601, UTC

    @property
    def repeats(self) -> int:
        """Runs that were recorded."""
        return len(self.wall_ms)

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

    def mean(self, metric: Metric = "wall") -> float:
        """Arithmetic mean in milliseconds."""
        return sum(self.samples(metric)) / self.repeats

    def median_interval(self, metric: Metric = "wall") -> tuple[float, float]:
        """95 % interval of the median in milliseconds."""
        return median_interval(self.samples(metric))

    def warnings(self) -> list[str]:
        """What a reader must know before trusting these figures, in words."""
        unverified = "this artifact is not verified: its outputs may differ from the model's"
        samples = Samples(self.wall_ms, self.cpu_ms)
        noise = find_noise(samples, self.threads, self.device.cores, self.device.load_average)
        apart = self.parity is not None and self.parity.max_rel > PARITY_LIMIT
        differs = (
            f"outputs differ from {self.parity.against}'s by {self.parity.max_rel:.1e} relative" if apart else None
        )
        if apart and self.parity.max_rel > WRONG:
            differs += ": this runtime computes something else; its latency counts for nothing"
        return [*filter(None, [unverified if self.verified is False else None, differs]), *noise, *self.notes]

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
