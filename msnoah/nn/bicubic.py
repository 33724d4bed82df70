"""Cubic interpolation between the numbers of a row, as a matrix; two of them, by rows and columns, are bicubic."""

import numpy as np

SHARPNESS = -0.75  # of the cubic kernel, as PyTorch's and OpenCV's


def bicubic_matrix(count: int, positions: np.ndarray, mirrored: bool = False) -> np.ndarray:
    """M for which M @ x is x interpolated at positions, x[0] standing at 0. -> float64 (len(positions), count)

    Cubic convolution over the four nearest numbers, Keys, 1981. Beyond the ends x goes on with its end's number, or,
    if mirrored, before x[0] with x[1], x[2], as an even function does.
    """
    taps = np.floor(positions).astype(np.int64)[:, None] + np.arange(-1, 3)
    places = np.clip(np.abs(taps) if mirrored else taps, 0, count - 1)
    matrix = np.zeros((len(positions), count))
    np.add.at(matrix, (np.arange(len(positions))[:, None], places), _kernel(np.abs(positions[:, None] - taps)))
    return matrix


def centred_positions(count: int, new_count: int) -> np.ndarray:
    """Where the centres of `new_count` equal parts of a row lie among the centres of `count` parts, counted from 0."""
    return (np.arange(new_count) + 0.5) * (count / new_count) - 0.5


def _kernel(distance: np.ndarray) -> np.ndarray:
    near = ((SHARPNESS + 2) * distance - (SHARPNESS + 3)) * distance ** 2 + 1
    far = SHARPNESS * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
