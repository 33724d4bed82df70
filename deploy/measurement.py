"""The protocol of measuring: seeded inputs, warm-up, short rounds that take turns, wall and CPU time of each run.

Several candidates are measured in rounds of ROUND runs, one candidate at a time, the order turned around each time, so
that whatever else the machine does hits all of them alike. A round begins with a run that is not recorded, since the
other candidates have emptied the caches.
"""

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from tqdm import tqdm

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.statistics import median_interval, percentile
from msnoah.errors import MsnoahError, ProfileError

ROUND = 10
BUSY_SHARE = 0.9  # CPU over wall time at one thread, below which something else had the core
WIDE_INTERVAL = 0.05  # width of the median's interval over the median, above which it is not worth two digits


@dataclass
class Samples:
    """Latencies in milliseconds, one entry a run; CPU time is that of all threads of the process."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def extend(self, other: "Samples") -> None:
        """Adds the runs of another round."""
        self.wall_ms += other.wall_ms
        self.cpu_ms += other.cpu_ms


class Candidate(Protocol):
    """Something whose runs can be timed, usually in a process of its own."""

    def measure(self, repeats: int) -> Samples:
        """Runs once unrecorded, then `repeats` times; a MsnoahError takes this candidate out of the measurement."""


def time_runs(run: Callable[[], object], repeats: int) -> Samples:
    """Wall (perf_counter) and CPU (process_time) milliseconds of `repeats` runs, with garbage collection off."""
    samples = Samples()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(repeats):
            wall, cpu = time.perf_counter_ns(), time.process_time_ns()
            run()
            cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
            samples.wall_ms.append(wall / 1e6)  # ns -> ms
            samples.cpu_ms.append(cpu / 1e6)
    finally:
        if collecting:
            gc.enable()
    return samples


def interleave(candidates: Sequence[Candidate], warmup: int, repeats: int) -> list[Samples | MsnoahError]:
    """Measures all candidates in turns; a candidate that fails gives its error and the others go on."""
    results: list[Samples | MsnoahError] = [Samples() for _ in candidates]
    with tqdm(total=len(candidates) * (warmup + repeats), desc="profile", unit="run") as progress:
        for number, (count, recorded) in enumerate(_rounds(warmup, repeats)):
            order = range(len(candidates)) if number % 2 == 0 else reversed(range(len(candidates)))
            for index in order:
                if isinstance(results[index], Samples):
                    results[index] = _measure_round(candidates[index], results[index], count, recorded)
                progress.update(count)
    return results


def make_feeds(inputs: Sequence[TensorSpec], batch_size: int, seed: int = 0) -> list[np.ndarray]:
    """One array an input: standard normal floats, integers of 0-255 (uint8) or 0-1, at the given batch size.

    Raises:
        ProfileError: an axis other than the first is free, or the artifact has another batch size built in.
    """
    generator = np.random.default_rng(seed)
    return [_draw(generator, _shape(spec, batch_size), np.dtype(spec.dtype)) for spec in inputs]


def largest_relative_difference(outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    """max |output - reference| / max |reference|, the worst output of all; infinite where a number is not finite.

    Raises:
        ProfileError: other shapes.
    """
    shapes, expected = [output.shape for output in outputs], [output.shape for output in reference]
    if shapes != expected:
        raise ProfileError(f"outputs of shapes {shapes} cannot be compared with {expected}")
    return max((_difference(*pair) for pair in zip(outputs, reference)), default=0.0)


def find_noise(samples: Samples, threads: int, cores: int, load_average: float | None) -> list[str]:
    """What speaks against trusting these latencies, in words; empty when nothing does."""
    median = percentile(samples.wall_ms, 50)
    low, high = median_interval(samples.wall_ms)
    busy = sum(samples.cpu_ms) / sum(samples.wall_ms)
    interval = f"95 % interval of the median is {low:.3g}-{high:.3g} ms, {(high - low) / median:.0%} wide"
    signs = (
        (threads == 1 and busy < BUSY_SHARE,
         f"the process had its core for only {busy:.0%} of the time: trust CPU time, not wall time"),
        (load_average is not None and load_average > cores,
         f"load average {load_average} on {cores} cores before the first run: other processes were running"),
        (threads > cores, f"{threads} threads on {cores} cores"),
        (high - low > WIDE_INTERVAL * median, f"{interval}: repeat on a quiet machine"),
    )
    return [words for found, words in signs if found]


def _rounds(warmup: int, repeats: int) -> list[tuple[int, bool]]:
    """(runs, recorded) of each round: the warm-up first, then rounds of at most ROUND."""
    warm = [(warmup, False)] if warmup else []
    return warm + [(min(ROUND, repeats - start), True) for start in range(0, repeats, ROUND)]


def _measure_round(candidate: Candidate, so_far: Samples, count: int, recorded: bool) -> Samples | MsnoahError:
    try:
        samples = candidate.measure(count)
    except MsnoahError as error:
        return error
    if recorded:
        so_far.extend(samples)
    return so_far


def _shape(spec: TensorSpec, batch_size: int) -> tuple[int, ...]:
    first, *others = spec.shape or (1,)
    if None in others:
        raise ProfileError(f"input '{spec.name}' has shape {spec.shape}: only the first axis (batch) may be free")
    if first not in (None, batch_size):
        raise ProfileError(
            f"input '{spec.name}' is built for batch {first}, asked for {batch_size}; profile at batch {first}"
        )
    return (batch_size, *others)


def _draw(generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    highest = 256 if dtype == np.uint8 else 2  # 0 and 1 are indices that every table has
    return generator.integers(0, highest, shape).astype(dtype)


def _difference(output: np.ndarray, reference: np.ndarray) -> float:
    reference = reference.astype(np.float64)
    largest = np.abs(output.astype(np.float64) - reference).max(initial=0.0)
    if not np.isfinite(largest):   # a NaN is neither more nor less than any limit
        return math.inf
    return float(largest / max(np.abs(reference).max(initial=0.0), np.finfo(np.float64).tiny))
