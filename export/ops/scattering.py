"""Primitives that write elements by index into a copy of a tensor: what x[...] = y becomes."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast, promote
from msnoah.export.ops.creation import scalar
from msnoah.export.ops.gathering import as_index, as_range, factor_grid
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.slicing import slice_axes
from msnoah.export.ops.table import Const, as_tuple, handles

REDUCTIONS = ("none", "add", "mul", "max", "min")
"""ONNX's names; MindSpore's numbers of the first two are the places here."""


def assign_grid(g, x, lists: list[np.ndarray], updates, axis: int = 0):
    """x with updates in place of x[lists[0]][:, lists[1]]...: joined from slices where a list is a range, chosen by a
    known mask where it is not."""
    if axis == len(lists):
        return updates
    span = as_range(lists[axis], x.shape[axis])
    if span is None:
        return _assign_list(g, x, lists, updates, axis)
    (begin, end), size = span, x.shape[axis]
    inner = assign_grid(g, slice_axes(g, x, {axis: (begin, end, 1)}), lists, updates, axis + 1)
    outer = [slice_axes(g, x, {axis: edge}) for edge in ((0, begin, 1), (end, size, 1)) if edge[0] < edge[1]]
    parts = [*outer[:begin > 0], inner, *outer[begin > 0:]]
    return g.op("Concat", *parts, axis=axis) if outer else inner


def _assign_list(g, x, lists: list[np.ndarray], updates, axis: int):
    numbers, places = lists[axis], np.full(x.shape[axis], -1, np.int64)
    places[numbers] = np.arange(len(numbers))   # Which of the updates an element of the axis takes.
    inner = assign_grid(g, g.op("Gather", x, numbers, axis=axis), lists, updates, axis + 1)
    spread = g.op("Gather", inner, np.maximum(places, 0), axis=axis)
    return g.op("Where", (places >= 0).reshape(-1, *[1] * (len(x.shape) - axis - 1)), spread, x)


def scatter_nd(g, x, indices, updates, reduction: str = "none"):
    """x with updates at indices (..., depth), by ONNX's ScatterND; equal indices are reduced together."""
    indices = cast(g, indices, np.dtype(np.int64))
    if reduction == "none":
        return g.op("ScatterND", x, indices, updates)
    if reduction in ("max", "min") and g.opset < 18:
        return _scatter_extremes(g, x, indices, updates, reduction)
    return _reduce(g, "ScatterND", x, indices, updates, reduction=reduction)


def _reduce(g, operator: str, x, indices, updates, **attributes):
    # ONNX Runtime moves float16 but does not add it up.
    wide = np.dtype(np.float32) if x.dtype == np.float16 else x.dtype
    return cast(g, g.op(operator, cast(g, x, wide), indices, cast(g, updates, wide), **attributes), x.dtype)


def _scatter_extremes(g, x, indices, updates, reduction: str):
    """Before opset 18: for each place of x the extreme of the updates that go there, by a comparison of all indices
    with all places."""
    depth = indices.shape[-1]
    places, rest = int(np.prod(x.shape[:depth])), x.shape[depth:]
    strides = np.array([int(np.prod(x.shape[k + 1:depth])) for k in range(depth)], np.int64)
    line = reshape(g, g.op("MatMul", indices, strides.reshape(-1, 1)), (1, -1, 1))   # (1, M, 1): where updates go
    hits = g.op("Equal", line, np.arange(places).reshape(-1, 1, 1))   # (P, M, 1)
    worst = np.array(extreme(x.dtype, reduction), x.dtype)
    candidates = g.op("Where", hits, reshape(g, updates, (1, line.shape[1], -1)), worst)   # (P, M, R)
    best = g.op("ReduceMax" if reduction == "max" else "ReduceMin", candidates, axes=[1], keepdims=0)
    return g.op(reduction.capitalize(), x, reshape(g, best, (*x.shape[:depth], *rest)))


def extreme(dtype: np.dtype, reduction: str):
    """The number that loses against every other: the lowest for max, the highest for min."""
    limits = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    return limits.min if reduction == "max" else limits.max


@handles("TensorScatterUpdate")
def tensor_scatter_update(g, x, indices, updates):
    """Writes updates at indices (..., depth). A known grid is cut out and joined, in a form that no batch size
    changes."""
    depth = indices.shape[-1]
    lists = factor_grid(indices, depth)
    if lists is None or not _is_regular(lists, x):
        return scatter_nd(g, x, indices, updates)
    shape = (*map(len, lists), *x.shape[depth:])
    return assign_grid(g, x, lists, reshape(g, updates, shape))


def _is_regular(lists: list[np.ndarray], x) -> bool:
    """Whether slices and choices beat ScatterND, which copies whole rows and takes truth values."""
    ranges = [as_range(numbers, size) for numbers, size in zip(lists, x.shape, strict=False)]
    distinct = all(len({*(numbers % size)}) == len(numbers) for numbers, size in zip(lists, x.shape, strict=False))
    return None not in ranges or (len(lists) > 1 and distinct and x.dtype != bool)


@handles("TensorCopySlices")
def assign_slices(g, x, updates, begin: Const, end: Const, strides: Const):
    spans = zip(as_tuple(begin), as_tuple(end), as_tuple(strides), x.shape, strict=False)
    lists = [np.arange(size)[slice(first, last, step)] for first, last, step, size in spans]
    shape = (*map(len, lists), *x.shape[len(lists):])
    return assign_grid(g, x, lists, g.op("Expand", updates, g.ints(*shape)))


@handles("TensorScatterAdd")
def tensor_scatter_add(g, x, indices, updates):
    return scatter_nd(g, x, indices, updates, "add")


@handles("TensorScatterSub")
def tensor_scatter_sub(g, x, indices, updates):
    return scatter_nd(g, x, indices, g.op("Neg", updates), "add")


@handles("TensorScatterMul")
def tensor_scatter_mul(g, x, indices, updates):
    return scatter_nd(g, x, indices, updates, "mul")


@handles("TensorScatterDiv")
def tensor_scatter_div(g, x, indices, updates):
    if not np.issubdtype(x.dtype, np.floating):
        raise ConversionError(f"{g.place}: TensorScatterDiv of {x.dtype} has no ONNX form; use float32")
    return scatter_nd(g, x, indices, g.op("Reciprocal", updates), "mul")


@handles("TensorScatterMax")
def tensor_scatter_max(g, x, indices, updates):
    return scatter_nd(g, x, indices, updates, "max")


@handles("TensorScatterMin")
def tensor_scatter_min(g, x, indices, updates):
    return scatter_nd(g, x, indices, updates, "min")


@handles("ScatterNd")
def scatter_new(g, indices, updates, shape: Const):
    """Zeros with the updates added at indices (..., depth)."""
    return scatter_nd(g, np.zeros(as_tuple(shape), updates.dtype), indices, updates, "add")


def scatter_elements(g, x, axis: int, indices, updates, reduction: str = "none"):
    """x with updates at indices along an axis. Updates may be larger than the indices: their first elements count."""
    updates = slice_axes(g, updates, {a: (0, size, 1) for a, size in enumerate(indices.shape)})
    if reduction == "none":
        return g.op("ScatterElements", x, as_index(g, indices), updates, axis=axis)
    return _reduce(g, "ScatterElements", x, as_index(g, indices), updates, axis=axis, reduction=reduction)


@handles("TensorScatterElements")
def tensor_scatter_elements(g, x, indices, updates, axis: Const = 0, reduction: Const = 0):
    return scatter_elements(g, x, axis, indices, updates, REDUCTIONS[reduction])


@handles("Scatter", "InplaceScatterSrc", "InplaceScatterSrcReduce")
def scatter(g, x, axis: Const, indices, updates, reduction: Const = 0):
    return scatter_elements(g, x, axis, indices, updates, REDUCTIONS[reduction])


@handles("ScatterAddExt", "InplaceScatterAdd")
def scatter_add(g, x, axis: Const, indices, updates):
    return scatter_elements(g, x, axis, indices, updates, "add")


@handles("ScatterValue", "InplaceScatterValue", "InplaceScatterValueReduce")
def scatter_value(g, x, axis: Const, indices, value, reduction: Const = 0):
    updates = g.op("Expand", scalar(g, value, x.dtype), g.ints(*indices.shape))
    return scatter_elements(g, x, axis, indices, updates, REDUCTIONS[reduction])


def _along_axis(g, x, axis: int, indices):
    """1-d indices along an axis, spread over the others: the form that ScatterElements takes."""
    shape = [indices.shape[0] if a == axis else size for a, size in enumerate(x.shape)]
    line = reshape(g, as_index(g, indices), [-1 if a == axis else 1 for a in range(len(shape))])
    return g.op("Expand", line, g.ints(*shape))


@handles("IndexAddExt", "InplaceIndexAddExt")
def index_add(g, x, axis: Const, indices, source, alpha: Const = 1):
    """x plus alpha source at indices along an axis."""
    axis %= len(x.shape)
    source = source if alpha == 1 else g.op("Mul", *promote(g, source, alpha))
    return scatter_elements(g, x, axis, _along_axis(g, x, axis, indices), source, "add")


@handles("InplaceIndexCopy")
def index_copy(g, x, axis: Const, indices, source):
    axis %= len(x.shape)
    return scatter_elements(g, x, axis, _along_axis(g, x, axis, indices), source)


@handles("IndexFill", "IndexFillScalar", "IndexFillTensor", "InplaceIndexFillScalar", "InplaceIndexFillTensor")
def index_fill(g, x, axis: Const, indices, value):
    """One number at indices along an axis."""
    axis = as_tuple(axis)[0] % len(x.shape)
    spread = _along_axis(g, x, axis, reshape(g, indices, (-1,)))
    return scatter_elements(g, x, axis, spread, g.op("Expand", scalar(g, value, x.dtype), g.ints(*spread.shape)))


@handles("MaskedScatter", "InplaceMaskedScatter")
def masked_scatter(g, x, mask, source):
    """The elements of source, one after another, where the mask is true: the n-th true takes the n-th of them."""
    mask = g.op("Expand", mask, g.ints(*x.shape))
    flat = g.op("Cast", reshape(g, mask, (-1,)), to=g.element_type(np.int64))
    places = g.op("Sub", g.op("CumSum", flat, np.array(0, np.int64)), np.array(1, np.int64))
    taken = g.op("Gather", reshape(g, source, (-1,)), reshape(g, g.op("Max", places, np.array(0)), x.shape), axis=0)
    return g.op("Where", mask, taken, x)


@handles("InplaceCopy")
def copy(g, x, source, non_blocking: Const = False):
    return g.op("Expand", cast(g, source, x.dtype), g.ints(*x.shape))


def _segment(g, x, segments, count: int, start, reduction: str):
    """Rows of x reduced by segment; a row with a negative segment is dropped, which an extra row at the end takes."""
    rest = x.shape[len(segments.shape):]
    data = np.full((count + 1, *rest), start, x.dtype)
    segments = cast(g, segments, np.dtype(np.int64))
    known_good = isinstance(segments, np.ndarray) and (segments.size == 0 or segments.min() >= 0)
    if not known_good:
        segments = g.op("Where", g.op("Less", segments, np.array(0)), np.array(count), segments)
    y = scatter_nd(g, data, g.op("Unsqueeze", segments, g.ints(-1)), x, reduction)
    return slice_axes(g, y, {0: (0, count, 1)})


@handles("UnsortedSegmentSum")
def segment_sum(g, x, segments, count: Const):
    return _segment(g, x, segments, as_tuple(count)[0], 0, "add")


@handles("UnsortedSegmentProd")
def segment_product(g, x, segments, count: Const):
    return _segment(g, x, segments, as_tuple(count)[0], 1, "mul")


@handles("UnsortedSegmentMax")
def segment_max(g, x, segments, count: Const):
    return _segment(g, x, segments, as_tuple(count)[0], extreme(x.dtype, "max"), "max")


@handles("UnsortedSegmentMin")
def segment_min(g, x, segments, count: Const):
    return _segment(g, x, segments, as_tuple(count)[0], extreme(x.dtype, "min"), "min")


def _rows(indices) -> np.ndarray:
    return np.array(as_tuple(indices), np.int64).reshape(-1, 1)


@handles("InplaceUpdateV2")
def update_rows(g, x, indices: Const, rows):
    return tensor_scatter_update(g, x, _rows(indices), rows)


@handles("InplaceAdd")
def add_to_rows(g, x, rows, *, indices: Const):
    return scatter_nd(g, x, _rows(indices), rows, "add")


@handles("InplaceSub")
def subtract_from_rows(g, x, rows, *, indices: Const):
    return scatter_nd(g, x, _rows(indices), g.op("Neg", rows), "add")
