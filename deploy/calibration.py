"""Peaks of the machine that a worker runs on, measured: products a second, and bytes a second by size of working set.

One process a core, each with one thread, works at the same time as the others; kernels take turns, in rounds. Traffic
is numpy's; products are numpy's and, where it is installed, ONNX Runtime's, and the faster ones count.
Rates are those of CPU time, so that another program that takes the cores for a while does not lower them.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import msnoah
from msnoah.deploy.runtimes.onnxruntime import open_product

ROUNDS = 5
KERNEL_S = 0.04  # CPU time of one kernel in one round
PRODUCT_SIZES = (256, 1024)  # rows and columns of the float32 matrices
CACHED_BYTES = (2**18, 2**21, 2**24)  # working sets that a cache may hold; the last one measured is larger than all
MEMORY_BYTES = 2**27  # of the largest working set where the caches' sizes are not told
PACKAGE_ROOT = str(Path(msnoah.__file__).resolve().parents[1])
MEMORY_LIMITS = (2**26, 2**28)
Kernel = tuple[str, int]  # a method of Kernels, and its size
SINGLE_THREADED = {name: "1" for name in (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")}


@dataclass(frozen=True)
class Bandwidth:
    """Gigabytes (1e9) a second at a working set of all cores together: median, and (largest - least) / median."""

    working_set_bytes: int
    gb_s: float
    spread: float


@dataclass(frozen=True)
class Peaks:
    """Measured peaks for a number of threads; two operations a multiply-accumulate.

    Attributes:
        threads: as asked for; cores that they had.
        gflop_s: float32 matrix products, 1e9 operations a second: the median of the rounds.
        gflop_s_spread: (largest - least) / median of the rounds.
        bandwidths: by working set, ascending; the last is that of memory.
    """

    threads: int
    cores: int
    gflop_s: float
    gflop_s_spread: float
    bandwidths: tuple[Bandwidth, ...]

    def gb_s(self, size_bytes: float) -> float:
        """The bandwidth at the least working set that was measured and is no smaller."""
        fitting = (one.gb_s for one in self.bandwidths if one.working_set_bytes >= size_bytes)
        return next(fitting, self.bandwidths[-1].gb_s)

    @classmethod
    def from_record(cls, record: dict) -> "Peaks":
        """From what JSON has of it."""
        return cls(**{**record, "bandwidths": tuple(Bandwidth(**one) for one in record["bandwidths"])})


def measure_peaks(threads: int, rounds: int = ROUNDS, kernel_s: float = KERNEL_S) -> Peaks:
    """Measures the peaks of as many cores as threads can have; takes a few seconds and up to 256 MiB.

    Raises:
        OSError, ValueError: a process of the calibration did not start or answer.
    """
    cores = min(threads, _available_cores())
    sizes = (*CACHED_BYTES, memory_working_set())
    traffic = [[(kind, size // cores) for kind in ("add", "dot")] for size in sizes]
    products = [(kind, size) for kind in ("multiply", "infer") for size in PRODUCT_SIZES]
    with ExitStack() as stack:
        helpers = [stack.enter_context(_Helper(sizes[-1] // cores)) for _ in range(cores)]
        kernels = [*products, *itertools.chain(*traffic)]
        turns = [{kernel: _run_together(helpers, *kernel, kernel_s) for kernel in kernels} for _ in range(rounds)]
    bandwidths = tuple(Bandwidth(size, *_summarise(turns, pair)) for size, pair in zip(sizes, traffic))
    return Peaks(threads, cores, *_summarise(turns, products), bandwidths)


def _run_together(helpers: Sequence["_Helper"], kind: str, size: int, seconds: float) -> float:
    """The rates of all processes together, of one kernel that they run at the same time."""
    for helper in helpers:
        helper.ask(kind, size, seconds)
    return sum(helper.answer() for helper in helpers)


def _summarise(turns: Sequence[dict[Kernel, float]], kernels: Sequence[Kernel]) -> tuple[float, float]:
    """Of the kernel with the largest median: the median in 1e9 a second, and the spread."""
    rates = max(([turn[kernel] for turn in turns] for kernel in kernels), key=statistics.median)
    median = statistics.median(rates)
    return median / 1e9, (max(rates) - min(rates)) / median


def memory_working_set(caches: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes that no cache holds: four times the largest, within limits that a board's memory allows."""
    sizes = []
    for path in caches.glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text.rstrip("KM")) * {"K": 2**10, "M": 2**20}.get(text[-1:], 1))
    low, high = MEMORY_LIMITS
    return min(max(4 * max(sizes), low), high) if sizes else MEMORY_BYTES


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Helper:
    """A process that runs kernels; asked first and answered later, so that several run at once."""

    def __init__(self, size_bytes: int):
        paths = os.pathsep.join(filter(None, [PACKAGE_ROOT, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, **SINGLE_THREADED, "PYTHONPATH": paths}
        self.process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, str(size_bytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=environment, text=True, encoding="utf-8")

    def __enter__(self) -> "_Helper":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, kind: str, size_bytes: int, seconds: float) -> None:
        self.process.stdin.write(json.dumps([kind, size_bytes, seconds]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> float:
        line = self.process.stdout.readline()
        if not line:
            raise OSError(f"a process of the calibration ended with exit code {self.process.wait()}")
        return float(line)


class Kernels:
    """What a process runs, in memory that is written once: fresh pages would cost more than the kernels."""

    def __init__(self, size_bytes: int):
        self.buffer = np.ones(size_bytes // 4, np.float32)
        self.matrices = {size: [np.ones((size, size), np.float32) for _ in range(3)] for size in PRODUCT_SIZES}
        self.inferences = {size: open_product(size) for size in PRODUCT_SIZES}

    def run(self, kind: str, size: int, seconds: float) -> float:
        """Operations (multiply, infer) or bytes (add, dot) a second of CPU time; `size` in rows or in bytes."""
        work, call = getattr(self, kind)(size)
        call()
        start, count, spent = time.process_time(), 0, 0.0
        while spent < seconds:
            call()
            count, spent = count + 1, time.process_time() - start
        return work * count / spent

    def multiply(self, size: int) -> tuple[int, Callable[[], object]]:
        """A product of matrices."""
        first, second, out = self.matrices[size]
        return 2 * size**3, lambda: np.matmul(first, second, out=out)

    def infer(self, size: int) -> tuple[int, Callable[[], object]]:
        """The same in ONNX Runtime, or nothing done where it is not installed."""
        return (2 * size**3, self.inferences[size]) if self.inferences[size] else (0, lambda: None)

    def add(self, size_bytes: int) -> tuple[int, Callable[[], object]]:
        """Two arrays read and one written."""
        first, second, out = self._arrays(3, size_bytes)
        return 3 * first.nbytes, lambda: np.add(first, second, out=out)

    def dot(self, size_bytes: int) -> tuple[int, Callable[[], object]]:
        """Two arrays read."""
        first, second = self._arrays(2, size_bytes)
        return 2 * first.nbytes, lambda: np.dot(first, second)

    def _arrays(self, count: int, size_bytes: int) -> list[np.ndarray]:
        length = size_bytes // 4 // count
        return [self.buffer[start:start + length] for start in range(0, count * length, length)]


def main() -> None:
    """Runs the kernels that come in as lines until there are no more, which is also when the parent dies."""
    kernels = Kernels(int(sys.argv[1]))
    for line in sys.stdin:
        print(kernels.run(*json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
