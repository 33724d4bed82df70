"""One-dimensional k-means: the few numbers that stand for many."""

import numpy as np

MOST_ROUNDS = 40


def find_centres(values: np.ndarray, count: int) -> np.ndarray:
    """Centres of the clusters of Lloyd's algorithm (1982), started from quantiles, so the same values give the same.

    On sorted numbers a cluster is a range: a round costs two searches a centre, with sums from a running total.

    Args:
        values: (n,) finite numbers, n > 0.
        count: most centres that are wanted.

    Returns:
        (k,) float32 ascending, k <= count; the values themselves where they are few. Never in half precision: centres
        of second moments lie below its smallest number (6e-8).
    """
    ordered = np.sort(values.astype(np.float64, copy=False))
    distinct = ordered[np.r_[True, np.diff(ordered) > 0]] if len(ordered) <= 4 * count else None
    if distinct is not None and len(distinct) <= count:
        return distinct.astype(np.float32)
    totals = np.r_[0.0, np.cumsum(ordered)]
    centres = np.unique(np.quantile(ordered, (np.arange(count) + 0.5) / count))
    for _ in range(MOST_ROUNDS):
        moved = _move(ordered, totals, centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return np.unique(centres.astype(np.float32))


def nearest(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n,) index of the nearest centre of each value; `centres` ascend."""
    middles = (centres[1:].astype(np.float64) + centres[:-1]) / 2
    return np.searchsorted(middles, values)


def _move(ordered: np.ndarray, totals: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The mean of what is nearest to each centre; centres without values go."""
    edges = np.r_[0, np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2), len(ordered)]
    sizes = np.diff(edges)
    return (np.diff(totals[edges])[sizes > 0] / sizes[sizes > 0])
