"""Energy of runs on boards that measure it: by a counter, else by a power sensor read again and again meanwhile."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from msnoah.deploy.telemetry import read_energy_j, read_power_w

SAMPLING_S = 0.05  # between two readings of a power sensor; one over I2C takes about a millisecond


def measure_energy(run: Callable[[], object], runs: int, root: Path = Path("/")) -> float | None:
    """Joules that the whole board takes for `runs` runs, what it takes at rest included.

    None where there is nothing to read, or a counter that went backwards (it wraps after hours) or stood still.
    """
    before = read_energy_j(root)
    if before is None:
        return _integrate_power(run, runs, root)
    _repeat(run, runs)
    after = read_energy_j(root)
    return after - before if after is not None and after > before else None


def _integrate_power(run: Callable[[], object], runs: int, root: Path) -> float | None:
    if read_power_w(root) is None:
        return None
    readings: list[tuple[float, float]] = []
    ended = threading.Event()
    sampler = threading.Thread(target=_sample, args=(readings, ended, root), daemon=True)
    sampler.start()
    _repeat(run, runs)
    ended.set()
    sampler.join()
    pairs = zip(readings, readings[1:])
    return sum((later - earlier) * (first + second) / 2 for (earlier, first), (later, second) in pairs) or None


def _sample(readings: list[tuple[float, float]], ended: threading.Event, root: Path) -> None:
    """(seconds, watts) at the beginning, every SAMPLING_S, and at the end."""
    going = True
    while going:
        going = not ended.wait(SAMPLING_S if readings else 0)
        watts = read_power_w(root)
        if watts is not None:
            readings.append((time.perf_counter(), watts))


def _repeat(run: Callable[[], object], runs: int) -> None:
    for _ in range(runs):
        run()
