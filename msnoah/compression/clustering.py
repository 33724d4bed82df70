"""One-dimensional k-means: the few numbers that stand for many."""

import numpy as np

MOST_ROUNDS = 40
SAMPLE = 1 << 14
"""Numbers that centres are found from, where there are more: sorting all would cost most of the time."""
_MOST_COMPARED = 31


def find_centres(values: np.ndarray, count: int) -> np.ndarray:
    """Centres of the clusters of Lloyd's algorithm (1982), started from quantiles, so the same values give the same.

    On sorted numbers a cluster is a range: a round costs one search a centre, with sums from a running total.

    Args:
        values: (n,) finite numbers, n > 0.
        count: most centres that are wanted.

    Returns:
        (k,) float32 ascending, k <= count; the values themselves where they are few. Never in half precision: centres
        of second moments lie below its smallest number (6e-8).
    """
    ordered = np.sort(_sample(values))
    distinct = ordered[np.r_[True, np.diff(ordered) > 0]] if len(ordered) <= 4 * count else None
    if distinct is not None and len(distinct) <= count:
        return distinct.astype(np.float32)
    totals = np.zeros(len(ordered) + 1)
    np.cumsum(ordered, out=totals[1:])
    centres = np.unique(ordered[((np.arange(count) + 0.5) / count * len(ordered)).astype(int)]).astype(np.float64)
    edges = None
    for _ in range(MOST_ROUNDS):
        earlier, edges = edges, _edges(ordered, centres)
        if earlier is not None and np.array_equal(earlier, edges):
            break
        sizes = edges[1:] - edges[:-1]
        sums = totals[edges[1:]] - totals[edges[:-1]]
        centres = sums[sizes > 0] / sizes[sizes > 0]   # centres without values go
    return np.unique(centres.astype(np.float32))


def nearest(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n,) uint8 index of the nearest centre of each value; `centres` ascend, at most 256."""
    middles = _middles(centres.astype(np.float64), values.dtype)
    if len(middles) > _MOST_COMPARED:
        return np.searchsorted(middles, values).astype(np.uint8)
    indices = np.zeros(len(values), np.uint8)
    for middle in middles:   # comparing all with each is several times as fast as a search for each
        indices += values > middle
    return indices


def _sample(values: np.ndarray) -> np.ndarray:
    """All values, or a draw that the same number of values repeats; every n-th would meet the columns of a matrix."""
    if len(values) <= SAMPLE:
        return values
    return values[np.random.default_rng(0).integers(0, len(values), SAMPLE)]


def _edges(ordered: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Where in `ordered` what is nearest to each centre begins, and the end."""
    edges = np.empty(len(centres) + 1, np.int64)
    edges[0], edges[-1] = 0, len(ordered)
    edges[1:-1] = ordered.searchsorted(_middles(centres, ordered.dtype))
    return edges


def _middles(centres: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """In the numbers' own type: a search in another would convert all of them first."""
    return ((centres[1:] + centres[:-1]) / 2).astype(dtype)
