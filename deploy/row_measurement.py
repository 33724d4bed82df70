"""Measures rows: in turns on one device, at the same time on several, each in its own process."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from threading import Event

from tqdm import tqdm

import msnoah
from msnoah.config import ProfileConfig
from msnoah.deploy.device import Device
from msnoah.deploy.interleaving import Goal, interleave
from msnoah.deploy.measurement import Samples
from msnoah.deploy.operator_pass import OperatorPass
from msnoah.deploy.parity import compare_outputs
from msnoah.deploy.profile import LOCAL, Profile
from msnoah.deploy.rows import FailedRow, Profiles, Row
from msnoah.deploy.runtimes.table import RUNTIMES
from msnoah.deploy.statistics import percentile
from msnoah.deploy.sustained import Sustained, sustain
from msnoah.deploy.telemetry import Telemetry
from msnoah.errors import DeviceError, MsnoahError, ProfileError
from msnoah.source_commit import find_commit

OPERATOR_RUNS = 10  # runs of the profiled pass
ENERGY_MS = 2000.0  # length of the pass that takes energy: a counter steps on every millisecond, a sensor every 50
MOST_ROWS = 12  # measured in turns with each other; more would be too far apart to hit the same weather
MEMORY_SHARE = 0.5  # of the machine's memory that the rows of a group may take


def profile_rows(
    rows: list[Row], settings: ProfileConfig, *, operator_runs: int = OPERATOR_RUNS, sustained_s: float | None = None,
    roofline: bool = False, keep: Callable[[Profile], None] = lambda profile: None, reference: Row | None = None,
) -> Profiles:
    """Measures rows in turns, each in its own process, and sets what was found in them.

    Rows of several devices are measured at the same time. Rows of one that need much memory together are measured in
    several groups, one after another.

    Args:
        rows: what to measure; `error` then says of each why there is nothing, and a row that has one is left alone.
        settings: batch size, warm-up, repeats, interval and time limit; runtimes and threads are the rows' own.
        operator_runs: runs of the pass that takes times by operator; 0 for none.
        sustained_s: also run each row on and on for so many seconds.
        roofline: also measure the peaks that operators are compared with.
        keep: takes each profile as soon as its group is measured, and again with its parity once all are.
        reference: a row whose outputs here all others are compared with; no time is taken of it.

    Returns:
        The rows that were measured, in order, as profiles, and the failures.

    Raises:
        ProfileError: no row at all could be measured.
    """
    reference = _run_reference(reference, settings.batch_size)
    sweep = _Sweep(settings, operator_runs, sustained_s, roofline, keep, reference)
    by_device: dict[str, list[Row]] = {}
    for row in rows:
        by_device.setdefault(row.device_name, []).append(row)
    _measure_at_once(sweep, list(by_device.values()))
    failures = [
        FailedRow(row.runtime, row.threads, settings.batch_size, row.error, row.precision, row.device_name)
        for row in rows if row.error
    ]
    profiles = [row.finished or sweep.describe(row) for row in rows if row.error is None]
    if not profiles:
        raise ProfileError("nothing could be measured: " + "; ".join(Profiles([], failures).describe_failures()))
    for profile in profiles:
        keep(profile)
    return Profiles(profiles, failures)


def _measure_at_once(sweep: "_Sweep", groups: list[list[Row]]) -> None:
    """Each group in a thread; an interruption ends the processes that the threads wait for."""
    if len(groups) < 2:
        for rows in groups:
            sweep.measure(rows)
        return
    with ThreadPoolExecutor(len(groups)) as pool:
        try:
            list(pool.map(sweep.measure, groups))
        except BaseException:
            sweep.stopped.set()
            for row in (row for rows in groups for row in rows if row.worker is not None):
                row.worker.process.kill()
            raise


def _run_reference(row: Row | None, batch_size: int) -> Row | None:
    """The row with its outputs, or with the reason why it has none."""
    if row is not None:
        try:
            with row.start_worker() as worker:
                row.loaded = worker.start(row.runtime, row.artifact, row.threads, batch_size)
                row.outputs = worker.outputs()
        except MsnoahError as error:
            row.error = str(error)
    return row


@dataclass(frozen=True)
class _Sweep:
    """How the rows of a command are measured."""

    settings: ProfileConfig
    operator_runs: int
    sustained_s: float | None
    roofline: bool
    keep: Callable[[Profile], None]
    reference: Row | None
    stopped: Event = field(default_factory=Event)
    started: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def measure(self, rows: list[Row]) -> None:
        """Measures the rows of one device that have neither an error nor an earlier profile."""
        waiting = [row for row in rows if row.error is None and row.finished is None]
        devices: dict[str, Device] = {}
        operators = OperatorPass(self.operator_runs, self.settings.batch_size, self.roofline)
        while waiting and not self.stopped.is_set():
            with ExitStack() as stack:
                group = _load_group(waiting, devices, stack, self.settings.batch_size)
                _measure(group, self.settings)
                for row in group:
                    _finish(row, operators, self.sustained_s)
            compare_outputs(rows, self.reference)
            for row in group:
                if row.error is None:
                    self.keep(self.describe(row))

    def describe(self, row: Row) -> Profile:
        """What was found of a row, with its circumstances."""
        return _to_profile(row, self.settings, self.started)


def _load_group(waiting: list[Row], devices: dict[str, Device], stack: ExitStack, batch_size: int) -> list[Row]:
    """Takes rows off `waiting` and loads them, until there are MOST_ROWS or their memory is used up; those that did."""
    group: list[Row] = []
    taken_mb = 0.0
    with tqdm(total=len(waiting), desc="convert and load", unit="row", leave=False) as progress:
        while waiting and len(group) < MOST_ROWS:
            row = waiting.pop(0)
            progress.set_postfix_str(row.runtime)
            _load(row, devices, stack, batch_size)
            progress.update()
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
        if row.device_name != LOCAL:  # which may be lost before the end
            row.outputs = row.worker.outputs()
    except MsnoahError as error:
        row.error = str(error)


def _measure(rows: list[Row], settings: ProfileConfig) -> None:
    goal = Goal(settings.interval, settings.time_limit_s) if settings.time_limit_s else None
    name = next((f"profile on {row.device_name}" for row in rows if row.device_name != LOCAL), "profile")
    results = interleave([row.worker for row in rows], settings.warmup, settings.repeats, goal, name=name)
    for row, result in zip(rows, results):
        if isinstance(result, Samples):
            row.samples = result
        elif isinstance(result.cause, DeviceError) and result.samples.wall_ms:  # the runs before are as good as any
            row.samples, row.cut_short = result.samples, str(result)
        else:
            row.error = str(result)


def _finish(row: Row, operators: OperatorPass, sustained_s: float | None) -> None:
    """Asks for memory, outputs and the rest, in this order: the passes after need memory of their own."""
    if row.error is not None or row.cut_short is not None:
        return
    try:
        row.load_after = row.worker.device().load_average
        row.peak_memory_mb = row.worker.peak_memory_mb()
        row.outputs = row.outputs or row.worker.outputs()
        row.telemetry, row.energy_j = _read_telemetry(row)
        row.sustained = _sustain(row, sustained_s) if sustained_s else None
        if operators.runs:
            operators.take(row)
    except MsnoahError as error:
        row.notes.append(f"latencies only: {error}")


def _read_telemetry(row: Row) -> tuple[Telemetry | None, float | None]:
    """What the device tells after the last run, and joules of one run where it has a counter or a sensor.

    A runner of another kind than ours may know of neither: that costs no more than these figures.
    """
    telemetry = None
    try:
        telemetry = row.worker.telemetry()
        if telemetry.energy_j is None and telemetry.power_w is None:
            return telemetry, None
        runs = math.ceil(ENERGY_MS / max(percentile(row.samples.wall_ms, 50), 1e-3))
        joules = row.worker.energy_j(runs)
        return telemetry, None if joules is None else joules / runs
    except MsnoahError as error:
        row.notes.append(f"no telemetry: {error}")
        return telemetry, None


def _sustain(row: Row, seconds: float) -> Sustained:
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
        cut_short=row.cut_short, telemetry_after=row.telemetry, energy_j=row.energy_j, sustained=row.sustained,
        peak_memory_mb=row.peak_memory_mb, operators=row.operators, peaks=row.peaks, parity=row.parity, notes=row.notes,
        operator_notes=row.operator_notes,
        msnoah=msnoah.__version__, commit=find_commit(), **row.loaded,
    )
