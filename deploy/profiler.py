"""Profiles the artifacts of a run: every runtime at every thread count, in turns, each in its own process."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

import msnoah
from msnoah.config import ProfileConfig
from msnoah.deploy.artifact import EXPORTED, Artifact
from msnoah.deploy.artifact_file import exported_artifact, open_artifact
from msnoah.deploy.device import Device, read_device
from msnoah.deploy.interleaving import interleave
from msnoah.deploy.measurement import Samples, largest_relative_difference
from msnoah.deploy.profile import Parity, Profile
from msnoah.deploy.runtimes.table import RUNTIMES, find_runtime
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import MsnoahError, ProfileError, RunFolderError
from msnoah.run_folder import RunFolder
from msnoah.source_commit import find_commit

OPERATOR_RUNS = 10  # runs of the profiled pass
REFERENCE = "mindspore"  # whose outputs the others are compared with


@dataclass
class Row:
    """What is to be measured, then what was found; `error` says why there is nothing."""

    runtime: str
    threads: int
    artifact: Artifact | None = None
    worker: WorkerProcess | None = None
    loaded: dict[str, Any] = field(default_factory=dict)
    samples: Samples = field(default_factory=Samples)
    peak_memory_mb: float | None = None
    outputs: list[np.ndarray] = field(default_factory=list)
    operators: list = field(default_factory=list)
    parity: Parity | None = None
    notes: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True)
class FailedRow:
    """A row without figures and the reason, in one line."""

    runtime: str
    threads: int
    batch_size: int
    reason: str

    def __str__(self) -> str:
        return f"{self.runtime}, threads {self.threads}, batch {self.batch_size}: {self.reason}"


class Profiles(list[Profile]):
    """The rows that were measured; `failures` holds those that were not."""

    def __init__(self, profiles: list[Profile], failures: list[FailedRow]):
        super().__init__(profiles)
        self.failures = failures


def profile_run(run: RunFolder, settings: ProfileConfig) -> Profiles:
    """Measures a run's artifacts and writes one JSON a row into its profiles folder.

    Raises:
        RunFolderError: nothing exported yet, or the folder cannot be written.
        ProfileError: an artifact is stale, or no row at all could be measured.
    """
    exported = run.export_record().get("artifacts", {})
    kinds = {find_runtime(name).kind for name in settings.runtimes}
    artifacts = {kind: exported_artifact(run, kind) for kind in sorted(kinds) if kind in exported}
    profiles = _profile(artifacts, settings.runtimes, settings)
    _make_folder(run.profiles_path)
    for profile in profiles:
        profile.save(run.profiles_path / profile.file_name)
    return profiles


def profile_artifact(path: str | Path, settings: ProfileConfig) -> Profiles:
    """Measures an .onnx or .tflite file without a run, in the runtimes of the settings that run it; writes nothing."""
    artifact = open_artifact(path)
    runtimes = [name for name in settings.runtimes if RUNTIMES[name].kind == artifact.kind]
    if not runtimes:
        able = ", ".join(name for name, runtime in RUNTIMES.items() if runtime.kind == artifact.kind)
        asked = ", ".join(settings.runtimes)
        raise ProfileError(f"{path}: of {asked} none runs .{artifact.kind} files, but these do: {able}")
    return _profile({artifact.kind: artifact}, runtimes, settings)


def _profile(artifacts: dict[str, Artifact], runtimes: list[str], settings: ProfileConfig) -> Profiles:
    rows = [Row(name, threads, artifacts.get(RUNTIMES[name].kind)) for threads in settings.threads for name in runtimes]
    return profile_rows(rows, settings)


def profile_rows(rows: list[Row], settings: ProfileConfig, *, operator_runs: int = OPERATOR_RUNS) -> Profiles:
    """Measures rows in turns, each in its own process, and sets what was found in them.

    Args:
        rows: what to measure; `error` then says of each why there is nothing.
        settings: batch size, warm-up and repeats; runtimes and threads are the rows' own.
        operator_runs: runs of the pass that takes times by operator; 0 for none.

    Returns:
        The rows that were measured, in order, as profiles, and the failures.

    Raises:
        ProfileError: no row at all could be measured.
    """
    device, started = read_device(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    with ExitStack() as stack:
        for row in rows:
            _load(row, stack, settings.batch_size)
        _measure([row for row in rows if row.error is None], settings)
        for row in rows:
            _finish(row, operator_runs)
    compare_outputs(rows)
    failures = [FailedRow(row.runtime, row.threads, settings.batch_size, row.error) for row in rows if row.error]
    profiles = [_to_profile(row, settings, device, started) for row in rows if row.error is None]
    if not profiles:
        raise ProfileError("nothing could be measured: " + "; ".join(map(str, failures)))
    return Profiles(profiles, failures)


def _load(row: Row, stack: ExitStack, batch_size: int) -> None:
    if row.artifact is None:
        row.error = _without_artifact(RUNTIMES[row.runtime].kind)
        return
    row.worker = stack.enter_context(WorkerProcess())
    try:
        row.loaded = row.worker.start(row.runtime, row.artifact, row.threads, batch_size)
    except MsnoahError as error:
        row.error = str(error)


def _without_artifact(kind: str) -> str:
    remedy = "`msnoah export` writes it" if kind in EXPORTED else f"`msnoah profile FILE.{kind}` takes one by its path"
    return f"export.json lists no {kind} artifact; {remedy}"


def _measure(rows: list[Row], settings: ProfileConfig) -> None:
    results = interleave([row.worker for row in rows], settings.warmup, settings.repeats)
    for row, result in zip(rows, results):
        if isinstance(result, MsnoahError):
            row.error = str(result)
        else:
            row.samples = result


def _finish(row: Row, operator_runs: int) -> None:
    """Asks for memory, outputs and operators, in this order: the profiled pass needs memory of its own."""
    if row.error is not None:
        return
    try:
        row.peak_memory_mb = row.worker.peak_memory_mb()
        row.outputs = row.worker.outputs()
        row.operators = row.worker.operators(operator_runs) if operator_runs else []
    except MsnoahError as error:
        row.notes.append(f"latencies only: {error}")


def compare_outputs(rows: list[Row]) -> None:
    """Sets each row's parity with the first row of REFERENCE, or a note that says why there is none."""
    reference = next((row for row in rows if row.runtime == REFERENCE and row.outputs), None)
    for row in rows:
        if reference is not None and row.outputs and row.runtime != REFERENCE:
            try:
                _check_same_inputs(row, reference)
                largest = largest_relative_difference(row.outputs, reference.outputs)
                row.parity = Parity(against=REFERENCE, max_rel=largest)
            except ProfileError as error:
                row.notes.append(f"no parity: {error}")


def _check_same_inputs(row: Row, reference: Row) -> None:
    """Refuses to compare outputs of other inputs: one artifact may take raw images and the other normalised ones."""
    taken, expected = (
        [(spec["shape"][1:], spec["dtype"]) for spec in one.loaded["inputs"]] for one in (row, reference)
    )
    if taken != expected:
        raise ProfileError(f"{row.runtime} takes inputs {taken}, {reference.runtime} {expected}")


def _to_profile(row: Row, settings: ProfileConfig, device: Device, started: str) -> Profile:
    artifact = row.artifact
    return Profile(
        model=artifact.model, artifact=artifact.path.name, sha256=artifact.sha256, size_bytes=artifact.size_bytes,
        verified=artifact.verified, max_rel=artifact.max_rel, precision=artifact.precision,
        runtime=row.runtime, threads=row.threads, thread_control=RUNTIMES[row.runtime].thread_control,
        batch_size=settings.batch_size, warmup=settings.warmup, device=device, started=started,
        wall_ms=row.samples.wall_ms, cpu_ms=row.samples.cpu_ms, peak_memory_mb=row.peak_memory_mb,
        operators=row.operators, parity=row.parity, notes=row.notes, msnoah=msnoah.__version__, commit=find_commit(),
        **row.loaded,
    )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be made: {error.strerror}") from error
