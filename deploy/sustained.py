"""Sustained mode: one candidate runs for minutes, in windows of about a second, and throttling shows in the curve."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from msnoah.deploy.measurement import Samples
from msnoah.deploy.statistics import percentile, ratio_of_medians
from msnoah.deploy.telemetry import Telemetry

WINDOW_S = 1.0
FIRST_S = 60.0  # the curve's end is compared with so much of its beginning, or with a quarter if that is less
LAST_SHARE = 0.25
THROTTLED = 0.03  # growth of the CPU time from which on a device is said to slow down: less comes with any load
LEAST_WINDOWS = 6  # at both ends, for an interval of 95 %


class Window(BaseModel):
    """About a second of runs; `t_s` is when it began, since the first; medians in milliseconds."""

    model_config = ConfigDict(frozen=True)

    t_s: float
    runs: int
    p50_wall_ms: float
    p50_cpu_ms: float
    reference_ms: float | None
    temperature_c: float | None
    frequency_mhz: float | None


class Sustained(BaseModel):
    """The curve of one candidate that ran without a pause."""

    model_config = ConfigDict(frozen=True)

    duration_s: float
    windows: list[Window] = Field(min_length=1)

    @property
    def slowdown(self) -> tuple[float, tuple[float, float]] | None:
        """CPU time of the last quarter over the first minute, and its 95 % interval; None of too short a curve."""
        first, last = self._ends()
        if min(len(first), len(last)) < LEAST_WINDOWS:
            return None
        return ratio_of_medians([one.p50_cpu_ms for one in first], [one.p50_cpu_ms for one in last])

    @property
    def throttled(self) -> bool:
        """Whether the last quarter takes at least THROTTLED more than the first minute, by the whole interval."""
        return self.slowdown is not None and self.slowdown[1][0] >= 1 + THROTTLED

    def describe(self) -> str:
        """The curve in one line."""
        first, last = self._ends()
        ends = f"p50 CPU {_median(first, 'p50_cpu_ms'):.3g} -> {_median(last, 'p50_cpu_ms'):.3g} ms"
        length = f"{self.duration_s / 60:.3g} min" if self.duration_s >= 60 else f"{self.duration_s:.3g} s"
        words = [f"{length}, {sum(one.runs for one in self.windows)} runs: {ends}"]
        if self.slowdown is None:
            words.append("too short to tell throttling")
        else:
            ratio, (low, high) = self.slowdown
            words[0] += f" ({ratio - 1:+.1%}, 95 % interval {low - 1:+.1%} to {high - 1:+.1%})"
            words.append(self._verdict())
        return "; ".join([*words, *self._circumstances()])

    def _verdict(self) -> str:
        if not self.throttled:
            return "no throttling seen"
        clocks = [_median(part, "frequency_mhz") for part in self._ends()]
        if None not in clocks and clocks[1] < clocks[0] * (1 - THROTTLED):
            return "THROTTLED: the clock fell as well"
        return "THROTTLED, or slowed down by other load: the clock does not tell"

    def _circumstances(self) -> list[str]:
        first, last = self._ends()
        units = {"temperature_c": "{:.0f} -> {:.0f} °C", "frequency_mhz": "{:.0f} -> {:.0f} MHz"}
        pairs = {text: (_median(first, name), _median(last, name)) for name, text in units.items()}
        return [text.format(*pair) for text, pair in pairs.items() if None not in pair]

    def _ends(self) -> tuple[list[Window], list[Window]]:
        first_s = min(FIRST_S, self.duration_s * LAST_SHARE)
        last_s = self.duration_s * (1 - LAST_SHARE)
        first = [one for one in self.windows if one.t_s < first_s] or self.windows[:1]
        return first, [one for one in self.windows if one.t_s >= last_s] or self.windows[-1:]


class Runner(Protocol):
    """What can run on and on: a worker."""

    def measure(self, repeats: int) -> Samples:
        """Runs once unrecorded, then `repeats` times."""

    def telemetry(self) -> Telemetry:
        """Temperature and clock at this moment."""


def sustain(
    runner: Runner, run_ms: float, duration_s: float, label: str, clock: Callable[[], float] = time.monotonic,
) -> Sustained:
    """Runs for a time.

    Args:
        runner: a loaded candidate; its MsnoahError passes.
        run_ms: wall time of a run, for a start.
        duration_s: how long.
        label: what the progress bar says.
        clock: seconds.
    """
    windows: list[Window] = []
    start = clock()
    with tqdm(total=round(duration_s), desc=f"sustained {label}", unit="s") as progress:
        while (now := clock() - start) < duration_s:
            samples = runner.measure(max(1, round(WINDOW_S * 1e3 / max(run_ms, 1e-3))))
            windows.append(_to_window(now, samples, runner.telemetry()))
            run_ms = windows[-1].p50_wall_ms
            progress.update(round(min(clock() - start, duration_s)) - progress.n)
    return Sustained(duration_s=duration_s, windows=windows)


def _to_window(t_s: float, samples: Samples, telemetry: Telemetry) -> Window:
    return Window(
        t_s=round(t_s, 3), runs=len(samples.wall_ms), p50_wall_ms=percentile(samples.wall_ms, 50),
        p50_cpu_ms=percentile(samples.cpu_ms, 50), reference_ms=max(samples.reference_ms, default=None),
        temperature_c=telemetry.temperature_c, frequency_mhz=telemetry.frequency_mhz,
    )


def _median(windows: Sequence[Window], name: str) -> float | None:
    values = [getattr(one, name) for one in windows]
    return None if None in values else float(np.median(values))
