"""A fixed piece of work whose CPU time tells how fast the machine is at the moment: neighbours and clocks change it.

A candidate's process times it before and after each round of runs. It is what networks mostly are, products of matrices
whose operands come from beyond the second cache. docs/profiling.md has the other kinds of work that were tried.
"""

import time
from functools import cache

import numpy as np

COUNT, SIZE = 64, 64  # products, and rows and columns of each: of this size numpy's BLAS takes one thread
PARTS = 5  # each takes about 0.3 ms on a core of 2024


def time_reference() -> float:
    """CPU milliseconds of this thread for the reference work: the median of PARTS equal parts, times PARTS."""
    return float(np.median([_time_part() for _ in range(PARTS)])) * PARTS


def _time_part() -> float:
    left, right, product = _matrices()
    start = time.thread_time_ns()
    np.matmul(left, right, out=product)
    return (time.thread_time_ns() - start) / 1e6  # ns -> ms


@cache
def _matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three stacks of matrices, 1 MiB each, once multiplied: the first use maps the memory."""
    left, right = np.random.default_rng(0).standard_normal((2, COUNT, SIZE, SIZE), np.float32)
    return left, right, np.matmul(left, right)
