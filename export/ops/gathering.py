"""Primitives that pick elements by index: gathers, embeddings, masks."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.graph import Value
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.shape import move_axis, reshape
from msnoah.export.ops.slicing import slice_axes
from msnoah.export.ops.table import Const, as_tuple, handles


def as_index(g, indices):
    """Indices in an element type that ONNX takes: int64, or int32 as it is."""
    indices = indices if isinstance(indices, Value | np.ndarray) else np.array(indices, np.int64)
    return indices if indices.dtype == np.int32 else cast(g, indices, np.dtype(np.int64))


@handles("Gather", "SparseGatherV2")
def gather(g, x, indices, axis: Const, batch_dims: Const = 0):
    axis = as_tuple(axis)[0] % len(x.shape)
    if not batch_dims:
        return g.op("Gather", x, as_index(g, indices), axis=axis)
    return _gather_in_batches(g, x, indices, axis, batch_dims % len(indices.shape))


def _gather_in_batches(g, x, indices, axis: int, batch_dims: int):
    """x (B, M, N, R), indices (B, I) -> (B, M, I, R): GatherND wants N right after the batch."""
    count = len(indices.shape) - batch_dims
    x = move_axis(g, x, axis, batch_dims)   # (B, N, M, R)
    indices = g.op("Unsqueeze", cast(g, indices, np.dtype(np.int64)), g.ints(-1))
    y = g.op("GatherND", x, indices, batch_dims=batch_dims)   # (B, I, M, R)
    axes = list(range(len(y.shape)))
    moved = axes[batch_dims:batch_dims + count]
    middle = axes[batch_dims + count:axis + count]
    perm = [*axes[:batch_dims], *middle, *moved, *axes[axis + count:]]
    return g.op("Transpose", y, perm=perm) if middle else y


@handles("GatherD")
def gather_elements(g, x, axis: Const, indices):
    return g.op("GatherElements", x, as_index(g, indices), axis=axis)


@handles("IndexSelect")
def index_select(g, x, axis: Const, indices):
    return g.op("Gather", x, as_index(g, indices), axis=axis)


@handles("Take")
def take(g, x, indices):
    return g.op("Gather", reshape(g, x, (-1,)), as_index(g, indices), axis=0)


@handles("Embedding")
def embedding(
    g, indices, weight, padding_idx: Const = None, max_norm: Const = None, norm_type: Const = 2.0,
    scale_grad_by_freq: Const = False,
):
    if max_norm is not None:
        raise ConversionError(f"{g.place}: Embedding with max_norm {max_norm} changes its weights; use None")
    return g.op("Gather", weight, as_index(g, indices), axis=0)


@handles("EmbeddingLookup")
def embedding_lookup(g, table, indices, offset: Const = 0):
    if offset:
        raise ConversionError(f"{g.place}: EmbeddingLookup in a part of a table (offset {offset}); use offset 0")
    return g.op("Gather", table, as_index(g, indices), axis=0)


@handles("RepeatInterleaveInt", "RepeatInterleaveTensor")
def repeat_interleave(g, x, repeats: Const, axis: Const = None, output_size: Const = None):
    """Each element repeated in place along an axis, as a gather with known indices."""
    x = reshape(g, x, (-1,)) if axis is None else x
    return g.op("Gather", x, np.repeat(np.arange(x.shape[axis or 0]), repeats), axis=axis or 0)


def factor_grid(indices, depth: int) -> list[np.ndarray] | None:
    """Indices (..., depth) as the product of one list for each axis, if they are known and are that: what x[:, 1:3] or
    x[:, [0, 2]] becomes."""
    if not isinstance(indices, np.ndarray) or not indices.size:
        return None
    rows = indices.reshape(-1, depth)
    lists = [rows[np.sort(np.unique(column, return_index=True)[1]), k] for k, column in enumerate(rows.T)]
    if np.prod([len(numbers) for numbers in lists]) != len(rows):
        return None
    grid = np.stack(np.meshgrid(*lists, indexing="ij"), -1).reshape(-1, depth)
    return lists if np.array_equal(grid, rows) else None


def as_range(numbers: np.ndarray, size: int) -> tuple[int, int] | None:
    """(begin, end) of consecutive indices; negative ones count from the end of an axis of this size."""
    numbers = np.where(numbers < 0, numbers + size, numbers)
    consecutive = np.array_equal(numbers, np.arange(len(numbers)) + numbers[0])
    return (int(numbers[0]), int(numbers[-1]) + 1) if consecutive else None


@handles("GatherNd", "GatherNdExt")
def gather_nd(g, x, indices):
    """x[indices[..., 0], indices[..., 1], ...]; a known grid is cut out axis by axis."""
    lists = factor_grid(indices, indices.shape[-1])
    if lists is None:
        return g.op("GatherND", x, cast(g, indices, np.dtype(np.int64)))
    shape = (*indices.shape[:-1], *x.shape[indices.shape[-1]:])
    for axis, numbers in enumerate(lists):
        span = as_range(numbers, x.shape[axis])
        x = slice_axes(g, x, {axis: (*span, 1)}) if span else g.op("Gather", x, numbers.astype(np.int64), axis=axis)
    return reshape(g, x, shape)


@handles("MaskedSelect")
def masked_select(g, x, mask: Const):
    """The elements where a known mask is true, in one row."""
    shape = np.broadcast_shapes(x.shape, mask.shape)
    index = np.flatnonzero(np.broadcast_to(mask, shape))
    x = x if tuple(x.shape) == shape else g.op("Expand", x, g.ints(*shape))
    return g.op("Gather", reshape(g, x, (-1,)), index.astype(np.int64), axis=0)


@handles("NonZero")
def nonzero(g, x: Const):
    """Positions of a known tensor's elements that are not zero, (count, rank)."""
    return np.argwhere(x).astype(np.int64)


@handles("NonZeroExt")
def nonzero_by_axis(g, x: Const):
    """Positions of a known tensor's elements that are not zero, one list for each axis."""
    return tuple(positions.astype(np.int64) for positions in np.nonzero(x))


@handles("Unique")
def unique(g, x: Const):
    """The different elements of a known tensor as they first occur, and each element's place among them."""
    _, first, inverse = np.unique(x, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return x.reshape(-1)[first[order]], np.argsort(order)[inverse].reshape(x.shape).astype(g.type[1].dtype)


@handles("Unique2")
def unique_sorted(g, x: Const, sorted: Const = True, return_inverse: Const = False, return_counts: Const = False):
    """The different elements of a known tensor, each element's place among them, and how often each occurs."""
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return values, inverse.reshape(x.shape) if return_inverse else None, counts if return_counts else None
