"""Percentiles and intervals of raw latencies; nothing here assumes that latencies are normally distributed."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

Z_95 = 1.959964  # standard normal quantile of a two-sided 95 % interval
DRAWS = 4000  # bootstrap draws: the ends of a 95 % interval are then known to about 0.3 % of their rank


def percentile(samples: Sequence[float], q: float) -> float:
    """The q-th percentile (0-100) of samples, linear between neighbours; same unit as the samples."""
    return float(np.percentile(np.asarray(samples, dtype=np.float64), q))


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the median from order statistics (Campbell and Gardner 1988, BMJ 296:1454); same unit.

    Fewer than 6 samples cannot give 95 %: then it is the range. Runs that follow each other are not independent, so a
    machine that drifts makes the true interval wider.
    """
    ordered = sorted(samples)
    count = len(ordered)
    spread = Z_95 * math.sqrt(count) / 2
    low = max(math.floor(count / 2 - spread), 1)
    high = min(math.ceil(1 + count / 2 + spread), count)
    return ordered[low - 1], ordered[high - 1]


def ratio_of_medians(before: Sequence[float], after: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """median(after) / median(before) and its 95 % percentile-bootstrap interval (Efron 1979), without a unit."""
    generator = np.random.default_rng(0)  # seeded: the same two profiles always give the same interval
    draws = _bootstrap_medians(after, generator) / _bootstrap_medians(before, generator)
    ratio = float(np.median(after) / np.median(before))
    low, high = np.percentile(draws, [2.5, 97.5])
    return ratio, (float(low), float(high))


def _bootstrap_medians(samples: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    values = np.asarray(samples, dtype=np.float64)
    chosen = generator.integers(0, len(values), size=(DRAWS, len(values)))
    return np.median(values[chosen], axis=1)   # (DRAWS, n) -> (DRAWS,)


def sign_interval(values: Sequence[float], level: float) -> tuple[float, float]:
    """Interval of the median at an error of at most `level` (0-1), by the sign test; same unit as the values.

    Exact for independent values of any continuous distribution (Conover 1999, Practical Nonparametric Statistics,
    chapter 3): of n signs, as many as i on one side have the probability of a fair coin. Infinite where n is too small.
    """
    ordered = sorted(values)
    outside = _sign_rank(len(ordered), level)
    return (ordered[outside - 1], ordered[-outside]) if outside else (-math.inf, math.inf)


@cache
def _sign_rank(count: int, level: float) -> int:
    """The largest rank whose value and the one of the same rank from above enclose the median; 0 if there is none."""
    ways = tail = 1  # of `count` coins with `rank` heads; with that many or fewer
    rank = 0
    while 2 * tail / 2**count <= level:  # a quotient of whole numbers of any size
        rank += 1
        ways = ways * (count - rank + 1) // rank
        tail += ways
    return rank
