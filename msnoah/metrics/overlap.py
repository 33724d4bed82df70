"""How far ranges overlap: segments of time, boxes of an image, or volumes."""

import numpy as np

from msnoah.errors import DataError


def intersection_over_union(ranges: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Common extent of every pair over what both cover together. (N, 2d), (M, 2d) -> (N, M) float64 in [0, 1]

    A range holds its lowest corner, then its highest: (start, end), or (x1, y1, x2, y2). One that ends before it starts
    has no extent, and ranges without extent overlap with nothing. Raises DataError for segments against boxes.
    """
    numbers, other_numbers = np.shape(ranges)[1], np.shape(others)[1]
    if numbers != other_numbers:
        raise DataError(f"ranges of {numbers} numbers against ranges of {other_numbers}; expected as many")
    low, high = _corners(ranges)
    other_low, other_high = _corners(others)
    common = _extent(np.maximum(low[:, None], other_low), np.minimum(high[:, None], other_high))   # (N, M)
    union = _extent(low, high)[:, None] + _extent(other_low, other_high) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _corners(ranges: np.ndarray) -> list[np.ndarray]:
    return np.split(np.asarray(ranges, np.float64), 2, axis=1)


def _extent(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Length, area or volume. (..., d) -> (...)"""
    return np.maximum(high - low, 0).prod(-1)
