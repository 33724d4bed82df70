"""A fixed piece of work whose CPU time tells how fast the machine is at the moment: neighbours and clocks change it.

A candidate's process times it before and after each round of runs. Products of small matrices, written so that numpy
uses neither its BLAS nor threads: the arrays fit the second cache, which the runs have just filled with their own.
"""

import time
from functools import cache

import numpy as np

SIZE = 128  # rows and columns: 64 KiB a matrix
PARTS = 5  # each takes about 0.25 ms on a core of 2024


def time_reference() -> float:
    """CPU milliseconds of this thread for the reference work: the median of PARTS equal parts, times PARTS."""
    return float(np.median([_time_part() for _ in range(PARTS)])) * PARTS


def _time_part() -> float:
    left, right = _matrices()
    start = time.thread_time_ns()
    np.einsum("ij,kj->ik", left, right)
    return (time.thread_time_ns() - start) / 1e6  # ns -> ms


@cache
def _matrices() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    left, right = generator.standard_normal((2, SIZE, SIZE), np.float32)
    return left, right
