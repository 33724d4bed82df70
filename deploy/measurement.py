"""One measurement: seeded inputs, wall and CPU time of each run, differences of outputs, and what speaks of noise."""

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from msnoah.deploy.artifact import TensorSpec
from msnoah.errors import ProfileError


@dataclass(frozen=True)
class Round:
    """Runs that followed each other without a pause, and how fast the machine was around them."""

    start_s: float  # since the measurement began
    runs: int
    reference_ms: float | None  # CPU time of the reference work, the longer of before and after; None: not taken


@dataclass
class Samples:
    """Latencies in milliseconds, one entry a run; CPU time is that of all threads of the process.

    `reference_ms` are the times of the reference work around these runs; `rounds` say which runs belong together.
    """

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    reference_ms: list[float] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    def extend(self, other: "Samples", start_s: float = 0.0) -> None:
        """Adds the runs of another round, which began `start_s` seconds after the measurement."""
        self.wall_ms += other.wall_ms
        self.cpu_ms += other.cpu_ms
        self.rounds.append(Round(round(start_s, 3), len(other.wall_ms), max(other.reference_ms, default=None)))


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
