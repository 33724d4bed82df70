"""Fractional max pooling, whose windows start at random steps, given as known samples: B. Graham, Fractional
Max-Pooling, 2014."""

import numpy as np

from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.reduction import reduce
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.table import Const, handles


@handles("FractionalMaxPoolWithFixedKsize")
def fractional_max_pool_2d(g, x, samples: Const, *, ksize: Const, output_shape: Const):
    """samples (B, C, 2) in [0, 1) for width and height."""
    return _pool(g, x, samples[..., ::-1], ksize, output_shape)


@handles("FractionalMaxPool3DWithFixedKsize")
def fractional_max_pool_3d(g, x, samples: Const, *, ksize: Const, output_shape: Const):
    """samples (B, C, 3) in [0, 1) for depth, height and width."""
    return _pool(g, x, samples, ksize, output_shape)


def _pool(g, x, samples: np.ndarray, kernel, target):
    """Maxima and their positions: gathers of known positions (B, C, *target, elements of a window)."""
    table, rank = np.zeros((*samples.shape[:2], 1), np.int64), len(target)
    for axis, (size, k, out) in enumerate(zip(x.shape[2:], kernel, target, strict=True)):
        inside = _starts(samples[..., axis], size, k, out)[..., None] + np.arange(k)   # (B, C, out, k)
        inside = inside.reshape(*inside.shape[:2], *[1] * axis, out, 1, k)
        table = (table[..., None, :, None] * size + inside).reshape(*table.shape[:-1], out, -1)
    flat, places = reshape(g, x, (*x.shape[:2], -1)), table.reshape(*table.shape[:2], -1)
    windows = reshape(g, g.op("GatherElements", flat, places, axis=2), table.shape)
    best = g.op("ArgMax", windows, axis=rank + 2, keepdims=1)
    positions = g.op("Squeeze", g.op("GatherElements", table, best, axis=rank + 2), g.ints(rank + 2))
    return reduce(g, "ReduceMax", windows, rank + 2, False), cast(g, positions, g.type[1].dtype)


def _starts(sample: np.ndarray, size: int, kernel: int, out: int) -> np.ndarray:
    """(B, C) -> (B, C, out): steps of the mean length, rounded; the last window ends where the axis ends."""
    if out == 1:
        return np.full((*sample.shape, 1), size - kernel)
    step = np.float32(size - kernel) / np.float32(out - 1)
    sample = sample[..., None]
    moved = np.floor((np.arange(out - 1, dtype=np.float32) + sample) * step) - np.floor(sample * step)
    return np.concatenate([moved, np.full_like(sample, size - kernel)], -1).astype(np.int64)
