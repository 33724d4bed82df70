"""One measurement: seeded inputs, wall and CPU time of each run, differences of outputs, and what speaks of noise."""

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.statistics import median_interval, percentile
from msnoah.errors import ProfileError

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


def feed_shape(spec: TensorSpec, batch_size: int) -> tuple[int, ...]:
    """The shape of an input with the batch in its place.

    Raises:
        ProfileError: an axis other than the first is free, or the artifact has another batch size built in.
    """
    first, *others = spec.shape or (1,)
    if None in others:
        raise ProfileError(f"input '{spec.name}' has shape {spec.shape}: only the first axis (batch) may be free")
    if first not in (None, batch_size):
        raise ProfileError(
            f"input '{spec.name}' is built for batch {first}, asked for {batch_size}; profile at batch {first}"
        )
    return (batch_size, *others)


def make_feeds(inputs: Sequence[TensorSpec], batch_size: int, seed: int = 0) -> list[np.ndarray]:
    """One array an input: standard normal floats, integers of 0-255 (uint8) or 0-1, at the given batch size.

    Raises:
        ProfileError: an axis other than the first is free, or the artifact has another batch size built in.
    """
    generator = np.random.default_rng(seed)
    return [_draw(generator, feed_shape(spec, batch_size), np.dtype(spec.dtype)) for spec in inputs]


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
