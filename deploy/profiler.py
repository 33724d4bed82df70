"""Profiles the artifacts of a run: every runtime, thread count and precision, in turns, each in its own process."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

import msnoah
from msnoah.config import ProfileConfig
from msnoah.deploy.artifact import EXPORTED, Artifact
from msnoah.deploy.artifact_file import artifact_key, exported_artifact, open_artifact
from msnoah.deploy.device import Device
from msnoah.deploy.interleaving import Goal, interleave
from msnoah.deploy.operator_pass import OperatorPass
from msnoah.deploy.parity import compare_outputs
from msnoah.deploy.profile import Profile
from msnoah.deploy.rows import FailedRow, Profiles, Row
from msnoah.deploy.runtimes.table import RUNTIMES, find_runtime
from msnoah.deploy.statistics import percentile
from msnoah.deploy.sustained import sustain
from msnoah.errors import MsnoahError, ProfileError, RunFolderError
from msnoah.run_folder import RunFolder
from msnoah.source_commit import find_commit

OPERATOR_RUNS = 10  # runs of the profiled pass
ENERGY_MS = 2000.0  # length of the pass that takes energy: a counter steps on every millisecond, a sensor every 50
MOST_ROWS = 12  # measured in turns with each other; more would be too far apart to hit the same weather
MEMORY_SHARE = 0.5  # of the machine's memory that the rows of a group may take


def profile_run(
    run: RunFolder, settings: ProfileConfig, *, sustained_s: float | None = None, roofline: bool = False
) -> Profiles:
    """Measures a run's artifacts and writes one JSON a row into its profiles folder.

    Args:
        run: a folder with an export.
        settings: what to measure, and how well.
        sustained_s: also run each row on and on for so many seconds.
        roofline: also measure the peaks that operators are compared with.

    Raises:
        RunFolderError: nothing exported yet, or the folder cannot be written.
        ProfileError: an artifact is stale, or no row at all could be measured.
    """
    exported = run.export_record().get("artifacts", {})
    kinds = sorted({kind for name in settings.runtimes for kind in find_runtime(name).kinds})
    artifacts = {
        (kind, precision): exported_artifact(run, kind, precision)
        for kind in kinds for precision in settings.precisions if artifact_key(kind, precision) in exported
    }
    rows = _make_rows(artifacts, settings.runtimes, settings)
    profiles = profile_rows(rows, settings, sustained_s=sustained_s, roofline=roofline)
    _make_folder(run.profiles_path)
    for profile in profiles:
        profile.save(run.profiles_path / profile.file_name)
    return profiles


def profile_artifact(
    path: str | Path, settings: ProfileConfig, *, sustained_s: float | None = None, roofline: bool = False
) -> Profiles:
    """Measures an .onnx or .tflite file without a run, in the runtimes of the settings that run it; writes nothing.

    A file has the precision that it has: `precisions` is not looked at.
    """
    artifact = open_artifact(path)
    runtimes = [name for name in settings.runtimes if artifact.kind in RUNTIMES[name].kinds]
    if not runtimes:
        able = ", ".join(name for name, runtime in RUNTIMES.items() if artifact.kind in runtime.kinds)
        asked = ", ".join(settings.runtimes)
        raise ProfileError(f"{path}: of {asked} none runs .{artifact.kind} files, but these do: {able}")
    rows = [Row(name, threads, artifact) for threads in settings.threads for name in runtimes]
    return profile_rows(rows, settings, sustained_s=sustained_s, roofline=roofline)


def _make_rows(artifacts: dict[tuple[str, str], Artifact], runtimes: list[str], settings: ProfileConfig) -> list[Row]:
    """Those of one precision and thread count follow each other: they are what is compared, and share the weather."""
    rows = [
        Row(name, threads, _choose(artifacts, name, precision), precision=precision)
        for threads in settings.threads for precision in settings.precisions for name in runtimes
    ]
    for row in rows:
        if row.artifact is None:
            row.error = _without_artifact(RUNTIMES[row.runtime].kinds, row.precision)
    return rows


def _choose(artifacts: dict[tuple[str, str], Artifact], runtime: str, precision: str) -> Artifact | None:
    keys = ((kind, precision) for kind in RUNTIMES[runtime].kinds)
    return next((artifacts[key] for key in keys if key in artifacts), None)


def _without_artifact(kinds: Sequence[str], precision: str) -> str:
    kind = next(kind for kind in kinds if kind in EXPORTED)
    key = artifact_key(kind, precision)
    if precision != "fp32" and kind == "onnx":
        remedy = f"`msnoah quantize RUN --precision {precision}` writes it"
    elif precision != "fp32":
        remedy = f"{precision} is of ONNX only"
    else:
        remedy = "`msnoah export` writes it"
    return f"export.json lists no {key} artifact; {remedy}"


def profile_rows(
    rows: list[Row], settings: ProfileConfig, *, operator_runs: int = OPERATOR_RUNS, sustained_s: float | None = None,
    roofline: bool = False,
) -> Profiles:
    """Measures rows in turns, each in its own process, and sets what was found in them.

    Rows that need much memory together are measured in several groups, one after another.

    Args:
        rows: what to measure; `error` then says of each why there is nothing, and a row that has one is left alone.
        settings: batch size, warm-up, repeats, interval and time limit; runtimes and threads are the rows' own.
        operator_runs: runs of the pass that takes times by operator; 0 for none.
        sustained_s: also run each row on and on for so many seconds.
        roofline: also measure the peaks that operators are compared with.

    Returns:
        The rows that were measured, in order, as profiles, and the failures.

    Raises:
        ProfileError: no row at all could be measured.
    """
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    waiting, devices = [row for row in rows if row.error is None], {}
    operators = OperatorPass(operator_runs, settings.batch_size, roofline)
    while waiting:
        with ExitStack() as stack:
            group = _load_group(waiting, devices, stack, settings.batch_size)
            _measure(group, settings)
            for row in group:
                _finish(row, operators, sustained_s)
    compare_outputs(rows)
    failures = [
        FailedRow(row.runtime, row.threads, settings.batch_size, row.error, row.precision, row.device_name)
        for row in rows if row.error
    ]
    profiles = [_to_profile(row, settings, started) for row in rows if row.error is None]
    if not profiles:
        raise ProfileError("nothing could be measured: " + "; ".join(Profiles([], failures).describe_failures()))
    return Profiles(profiles, failures)


def _load_group(waiting: list[Row], devices: dict[str, Device], stack: ExitStack, batch_size: int) -> list[Row]:
    """Takes rows off `waiting` and loads them, until there are MOST_ROWS or their memory is used up; those that did."""
    group: list[Row] = []
    taken_mb = 0.0
    while waiting and len(group) < MOST_ROWS:
        row = waiting.pop(0)
        _load(row, devices, stack, batch_size)
        if row.error is None:
            group.append(row)
            taken_mb += row.peak_memory_mb or 0.0
            if taken_mb > MEMORY_SHARE * (row.device.memory_mb or math.inf):
                break
    return group


def _load(row: Row, devices: dict[str, Device], stack: ExitStack, batch_size: int) -> None:
    try:
        row.worker = stack.enter_context(row.start_worker())
        if row.device_name not in devices:  # the first of its device: no row of ours has put load on it
            devices[row.device_name] = row.worker.device()
        row.device = devices[row.device_name]
        row.loaded = row.worker.start(row.runtime, row.artifact, row.threads, batch_size)
        row.peak_memory_mb = row.worker.peak_memory_mb()
    except MsnoahError as error:
        row.error = str(error)


def _measure(rows: list[Row], settings: ProfileConfig) -> None:
    goal = Goal(settings.interval, settings.time_limit_s) if settings.time_limit_s else None
    results = interleave([row.worker for row in rows], settings.warmup, settings.repeats, goal)
    for row, result in zip(rows, results):
        if isinstance(result, MsnoahError):
            row.error = str(result)
        else:
            row.samples = result


def _finish(row: Row, operators: OperatorPass, sustained_s: float | None) -> None:
    """Asks for memory, outputs and the rest, in this order: the passes after need memory of their own."""
    if row.error is not None:
        return
    try:
        row.load_after = row.worker.device().load_average
        row.telemetry = row.worker.telemetry()
        row.peak_memory_mb = row.worker.peak_memory_mb()
        row.outputs = row.worker.outputs()
        row.energy_j = _take_energy(row)
        row.sustained = _sustain(row, sustained_s) if sustained_s else None
        if operators.runs:
            operators.take(row)
    except MsnoahError as error:
        row.notes.append(f"latencies only: {error}")


def _take_energy(row: Row) -> float | None:
    """Joules of one run, where the device has a counter or a sensor."""
    if row.telemetry.energy_j is None and row.telemetry.power_w is None:
        return None
    runs = math.ceil(ENERGY_MS / max(percentile(row.samples.wall_ms, 50), 1e-3))
    joules = row.worker.energy_j(runs)
    return None if joules is None else joules / runs


def _sustain(row: Row, seconds: float):
    return sustain(row.worker, percentile(row.samples.wall_ms, 50), seconds, f"{row.runtime}, threads {row.threads}")


def _to_profile(row: Row, settings: ProfileConfig, started: str) -> Profile:
    artifact = row.artifact
    return Profile(
        model=artifact.model, artifact=artifact.path.name, sha256=artifact.sha256, size_bytes=artifact.size_bytes,
        verified=artifact.verified, max_rel=artifact.max_rel, precision=artifact.precision,
        runtime=row.runtime, threads=row.threads, thread_control=RUNTIMES[row.runtime].thread_control,
        batch_size=settings.batch_size, warmup=settings.warmup, device=row.device, device_name=row.device_name,
        started=started, wall_ms=row.samples.wall_ms, cpu_ms=row.samples.cpu_ms, rounds=row.samples.rounds,
        interval_goal=settings.interval if settings.time_limit_s else None, load_after=row.load_after,
        telemetry_after=row.telemetry, energy_j=row.energy_j, sustained=row.sustained,
        peak_memory_mb=row.peak_memory_mb, operators=row.operators, peaks=row.peaks, parity=row.parity, notes=row.notes,
        msnoah=msnoah.__version__, commit=find_commit(), **row.loaded,
    )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be made: {error.strerror}") from error
