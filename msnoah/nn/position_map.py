"""Learnt maps of positions, and their resizing to the size of the map that they are added to."""

import numpy as np
from mindspore import Parameter, ops
from mindspore.common.initializer import TruncatedNormal, initializer


def position_map(channels: int, size: int) -> Parameter:
    """A learnt map (1, channels, size, size), at first from a normal of deviation 0.02 cut at two deviations."""
    return Parameter(initializer(TruncatedNormal(0.02), (1, channels, size, size)))


def fit_positions(positions, size: tuple[int, int]):
    """A position map (1, C, h, w) at the size of a map: itself, or bilinear with corners on corners. -> (1, C, H, W)"""
    if tuple(positions.shape[2:]) == tuple(size):
        return positions
    return ops.interpolate(positions, size=size, mode="bilinear", align_corners=True)


def resize_positions(positions: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What `fit_positions` computes, of an array and in float64. (1, C, h, w) -> (1, C, H, W)"""
    rows, columns = (_interpolation(*pair) for pair in zip(positions.shape[2:], size))
    return rows @ positions.astype(np.float64) @ columns.T


def _interpolation(count: int, full_count: int) -> np.ndarray:
    """M for which M @ x is x interpolated linearly from its first to its last number. (full_count, count)"""
    at = np.linspace(0, count - 1, full_count)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)[None, :]))
