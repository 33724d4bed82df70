"""Pooling to a wanted size: window i of n over size elements is [floor(i size / n), ceil((i + 1) size / n))."""

import numpy as np

from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.linear import multiply_axis
from msnoah.export.ops.reduction import reduce
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.table import Const, handles


@handles("AdaptiveAvgPool2D")
def adaptive_average_pool_2d(g, x, *, output_size: Const):
    return _average(g, x, 2)


@handles("AdaptiveAvgPool3D")
def adaptive_average_pool_3d(g, x, *, output_size: Const):
    return _average(g, x, 3)


@handles("AdaptiveAvgPool1D")
def adaptive_average_pool_1d_to(g, x, output_size: Const):
    return _average(g, x, 1)


@handles("AdaptiveAvgPool2DExt")
def adaptive_average_pool_2d_to(g, x, output_size: Const):
    return _average(g, x, 2)


@handles("AdaptiveAvgPool3DExt")
def adaptive_average_pool_3d_to(g, x, output_size: Const):
    return _average(g, x, 3)


@handles("AdaptiveMaxPool1D")
def adaptive_max_pool_1d(g, x, output_size: Const):
    return _maximum(g, x, 1)


@handles("AdaptiveMaxPool2D")
def adaptive_max_pool_2d(g, x, output_size: Const):
    return _maximum(g, x, 2)


@handles("AdaptiveMaxPool3D")
def adaptive_max_pool_3d(g, x, output_size: Const):
    return _maximum(g, x, 3)


def _average(g, x, rank: int):
    """Windows that do not overlap are a plain pooling; others a product with a known matrix along each axis."""
    sizes, target = x.shape[-rank:], g.type.shape[-rank:]
    if _divides(sizes, target):
        return _pool(g, "AveragePool", x, rank, g.type.shape)
    for axis, (size, out) in enumerate(zip(sizes, target, strict=True), len(x.shape) - rank):
        x = multiply_axis(g, x, axis, _mean_matrix(size, out).astype(x.dtype)) if size != out else x
    return x


def _divides(sizes, target) -> bool:
    return not any(size % out for size, out in zip(sizes, target, strict=True))


def _pool(g, operator: str, x, rank: int, shape):
    kernel = [size // out for size, out in zip(x.shape[-rank:], shape[-rank:], strict=True)]
    batched = x if len(x.shape) > rank + 1 else reshape(g, x, (1, *x.shape))
    return reshape(g, g.op(operator, batched, kernel_shape=kernel, strides=kernel), shape)


def _windows(size: int, out: int) -> list[range]:
    return [range(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _mean_matrix(size: int, out: int) -> np.ndarray:
    matrix = np.zeros((out, size))
    for row, window in zip(matrix, _windows(size, out), strict=True):
        row[window.start:window.stop] = 1 / len(window)
    return matrix


def _window_indices(size: int, out: int) -> np.ndarray:
    """(out, longest window); a shorter window repeats its last element, which leaves its maximum as it is."""
    windows = _windows(size, out)
    steps = range(max(map(len, windows)))
    return np.array([[window[min(step, len(window) - 1)] for step in steps] for window in windows])


def _maximum(g, x, rank: int):
    (values, positions), sizes = g.type, x.shape[-rank:]
    target = values.shape[-rank:]
    indices = [_window_indices(size, out) for size, out in zip(sizes, target, strict=True)]
    where = cast(g, _argmax(g, x, indices, sizes), positions.dtype)
    if _divides(sizes, target):
        return _pool(g, "MaxPool", x, rank, values.shape), where
    for axis, index in enumerate(indices, len(x.shape) - rank):
        if len(index) != x.shape[axis]:
            x = reduce(g, "ReduceMax", g.op("Gather", x, index, axis=axis), axis + 1, False)
    return x, where


def _argmax(g, x, indices: list[np.ndarray], sizes):
    """The position of each maximum within its channel. Dead code where nobody asks for positions."""
    table = _position_table(indices, sizes)
    lead, rank = x.shape[:-len(sizes)], len(sizes)
    windows = g.op("Gather", reshape(g, x, (*lead, -1)), table, axis=len(lead))   # (..., *outs, elements)
    best = g.op("ArgMax", windows, axis=len(lead) + rank, keepdims=1)
    everywhere = np.broadcast_to(table, (*lead, *table.shape)).copy()
    found = g.op("GatherElements", everywhere, best, axis=len(lead) + rank)
    return g.op("Squeeze", found, g.ints(len(lead) + rank))


def _position_table(indices: list[np.ndarray], sizes) -> np.ndarray:
    """(*outs, elements): the positions that each window holds, row by row."""
    table = np.zeros((1,), np.int64)
    for index, size in zip(indices, sizes, strict=True):
        table = table[..., None, :, None] * size + index[:, None, :]
        table = table.reshape(*table.shape[:-2], -1)
    return table
