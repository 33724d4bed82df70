"""Primitives that move elements without computing: reshaping, slicing, joining, repeating, gathering, casting."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.table import Const, as_tuple, handles

TYPE_IDS = {
    30: np.bool_, 32: np.int8, 33: np.int16, 34: np.int32, 35: np.int64, 37: np.uint8, 38: np.uint16, 39: np.uint32, 40:
        np.uint64,
    42: np.float16, 43: np.float32, 44: np.float64,
}
"""Element type by MindSpore's TypeId, which `dtype` arguments carry."""


def reshape(g, x, shape):
    """x in a shape; one size may be -1. Written out in full, so that passes can compare shapes."""
    shape = list(shape)
    if -1 in shape:
        known = int(np.prod([size for size in shape if size != -1]))
        shape[shape.index(-1)] = int(np.prod(x.shape)) // known if known else 0
    return g.op("Reshape", x, g.ints(*shape))


@handles("Reshape")
def reshape_to(g, x, shape: Const):
    return reshape(g, x, as_tuple(shape))


@handles("Flatten")
def flatten(g, x):
    return reshape(g, x, (x.shape[0], -1))


@handles("FlattenExt")
def flatten_axes(g, x, start_dim: Const = 0, end_dim: Const = -1):
    rank = len(x.shape)
    first, last = start_dim % rank, end_dim % rank
    return reshape(g, x, (*x.shape[:first], -1, *x.shape[last + 1:]))


@handles("ExpandDims", "ExpandDimsView")
def expand_dims(g, x, axis: Const):
    return g.op("Unsqueeze", x, g.ints(*as_tuple(axis)))


@handles("Squeeze")
def squeeze(g, x, axis: Const = None):
    axes = [a for a in as_tuple(axis) if x.shape[a] == 1] or [a for a, size in enumerate(x.shape) if size == 1]
    return g.op("Squeeze", x, g.ints(*axes))


@handles("Transpose", "TransposeView")
def transpose(g, x, perm: Const):
    return g.op("Transpose", x, perm=[axis % len(x.shape) for axis in as_tuple(perm)])


@handles("TransposeExtView")
def swap_axes(g, x, first: Const, second: Const):
    perm = list(range(len(x.shape)))
    perm[first], perm[second] = perm[second], perm[first]
    return g.op("Transpose", x, perm=perm)


@handles("Concat")
def concat(g, tensors, axis: Const = 0):
    return g.op("Concat", *tensors, axis=axis)


@handles("Stack")
def stack(g, tensors, *, axis: Const):
    """Joins tensors along a new axis."""
    return stack_axis(g, tensors, axis)


@handles("StackExt")
def stack_axis(g, tensors, axis: Const = 0):
    """Joins tensors along a new axis."""
    return g.op("Concat", *[g.op("Unsqueeze", tensor, g.ints(axis)) for tensor in tensors], axis=axis)


@handles("Unstack")
def unstack(g, x, *, axis: Const):
    """The slices along an axis, without it."""
    return unstack_axis(g, x, axis)


@handles("UnstackExtView")
def unstack_axis(g, x, axis: Const = 0):
    """The slices along an axis, without it."""
    parts = g.op("Split", x, g.ints(*[1] * x.shape[axis]), outputs=x.shape[axis], axis=axis)
    parts = parts if isinstance(parts, tuple) else (parts,)
    return tuple(g.op("Squeeze", part, g.ints(axis)) for part in parts)


def split_sizes(g, x, sizes, axis: int) -> tuple:
    """Parts of the given sizes along an axis."""
    parts = g.op("Split", x, g.ints(*sizes), outputs=len(sizes), axis=axis)
    return parts if isinstance(parts, tuple) else (parts,)


def _even_sizes(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


@handles("Split")
def split(g, x, axis: Const = 0, output_num: Const = 1):
    return split_sizes(g, x, [x.shape[axis] // output_num] * output_num, axis)


@handles("SplitTensor", "SplitTensorView")
def split_by_size(g, x, split_size: Const, axis: Const = 0):
    return split_sizes(g, x, _even_sizes(x.shape[axis], split_size), axis)


@handles("SplitWithSize", "SplitWithSizeView")
def split_with_sizes(g, x, sizes: Const, axis: Const = 0):
    return split_sizes(g, x, as_tuple(sizes), axis)


@handles("Chunk", "ChunkView")
def chunk(g, x, chunks: Const, axis: Const = 0):
    return split_sizes(g, x, _even_sizes(x.shape[axis], -(-x.shape[axis] // chunks)), axis)


def slice_axes(g, x, ranges: dict[int, tuple[int, int, int]]):
    """x[begin:end:step] along some axes, {axis: (begin, end, step)}; whole axes are left out."""
    cut = {axis: r for axis, r in ranges.items() if r[2] != 1 or _length(x.shape[axis], r) != x.shape[axis]}
    if not cut:
        return x
    begins, ends, steps = zip(*cut.values(), strict=True)
    return g.op("Slice", x, g.ints(*begins), g.ints(*ends), g.ints(*cut), g.ints(*steps))


def _length(size: int, range_: tuple[int, int, int]) -> int:
    return len(range(size)[slice(*range_)])


@handles("StridedSlice")
def strided_slice(
    g, x, begin: Const, end: Const, strides: Const,
    begin_mask: Const = 0, end_mask: Const = 0, ellipsis_mask: Const = 0, new_axis_mask: Const = 0,
    shrink_axis_mask: Const = 0,
):
    """x[begin:end:strides], where bit i of a mask says what entry i means: an open end, an ellipsis, a new axis, or
    one index."""
    entries = list(zip(as_tuple(begin), as_tuple(end), as_tuple(strides), strict=True))
    axis, ranges, dropped, added, rank = 0, {}, [], [], 0
    for bit, (first, last, step) in enumerate(entries):
        if ellipsis_mask >> bit & 1:
            later = sum(1 for b in range(bit + 1, len(entries)) if not new_axis_mask >> b & 1)
            rank, axis = rank + len(x.shape) - later - axis, len(x.shape) - later
        elif new_axis_mask >> bit & 1:
            added.append(rank)
            rank += 1
        elif shrink_axis_mask >> bit & 1:
            ranges[axis] = (first, first + 1 if first != -1 else x.shape[axis], 1)
            dropped.append(axis)
            axis += 1
        else:
            ranges[axis] = _open_range(first, last, step, begin_mask >> bit & 1, end_mask >> bit & 1, x.shape[axis])
            axis, rank = axis + 1, rank + 1
    return _reshape_axes(g, x, ranges, dropped, added)


def _open_range(first: int, last: int, step: int, open_begin: int, open_end: int, size: int) -> tuple[int, int, int]:
    if open_begin:
        first = 0 if step > 0 else size - 1
    if open_end:
        last = size if step > 0 else -(1 << 40)
    return first, last, step


def _reshape_axes(g, x, ranges, dropped: list[int], added: list[int]):
    if len(dropped) == 1:
        # One index is one Gather instead of a Slice and a Squeeze.
        index = ranges.pop(dropped[0])[0]
        x = g.op("Gather", slice_axes(g, x, ranges), np.array(index, np.int64), axis=dropped[0])
    else:
        x = slice_axes(g, x, ranges)
        x = g.op("Squeeze", x, g.ints(*dropped)) if dropped else x
    return g.op("Unsqueeze", x, g.ints(*added)) if added else x


@handles("Slice")
def slice_by_size(g, x, begin: Const, size: Const):
    spans = zip(as_tuple(begin), as_tuple(size), strict=True)
    return slice_axes(g, x, {a: (b, x.shape[a] if s == -1 else b + s, 1) for a, (b, s) in enumerate(spans)})


@handles("SliceExt", "SliceExtView")
def slice_axis(g, x, axis: Const, start: Const, end: Const, step: Const = 1):
    return slice_axes(g, x, {axis % len(x.shape): (start, end, step)})


@handles("Narrow", "NarrowView")
def narrow(g, x, axis: Const, start: Const, length: Const):
    return slice_axes(g, x, {axis % len(x.shape): (start, start + length, 1)})


@handles("SelectExtView")
def select_index(g, x, axis: Const, index: Const):
    return g.op("Gather", x, np.array(index, np.int64), axis=axis)


@handles("ReverseV2")
def reverse(g, x, axis: Const):
    return slice_axes(g, x, {a % len(x.shape): (-1, -(1 << 40), -1) for a in as_tuple(axis)})


@handles("Tile")
def tile(g, x, repeats: Const):
    repeats = as_tuple(repeats)
    shape = (*[1] * (len(repeats) - len(x.shape)), *x.shape)
    x = reshape(g, x, shape) if shape != x.shape else x
    return g.op("Tile", x, g.ints(*[1] * (len(shape) - len(repeats)), *repeats))


@handles("BroadcastTo", "BroadcastToView")
def broadcast_to(g, x, shape: Const):
    shape = as_tuple(shape)
    sizes = (*[1] * (len(shape) - len(x.shape)), *x.shape)
    full = [size if target == -1 else target for target, size in zip(shape, sizes, strict=True)]
    return g.op("Expand", x, g.ints(*full))


@handles("RepeatInterleaveInt")
def repeat_interleave(g, x, repeats: Const, axis: Const = None, output_size: Const = None):
    """Each element repeated in place along an axis, as a gather with known indices."""
    x = reshape(g, x, (-1,)) if axis is None else x
    return g.op("Gather", x, np.repeat(np.arange(x.shape[axis or 0]), repeats), axis=axis or 0)


@handles("Gather")
def gather(g, x, indices, axis: Const, batch_dims: Const = 0):
    if batch_dims:
        raise ConversionError(f"{g.scope}: Gather with batch_dims {batch_dims}; only 0 is known")
    return g.op("Gather", x, g.like(indices, np.empty(0, np.int64)), axis=int(as_tuple(axis)[0]))


@handles("GatherD")
def gather_elements(g, x, axis: Const, indices):
    return g.op("GatherElements", x, indices, axis=axis)


@handles("Cast")
def cast_to(g, x, dtype: Const):
    if dtype not in TYPE_IDS:
        raise ConversionError(f"{g.scope}: Cast to MindSpore type {dtype}, which has no ONNX form here")
    return cast(g, x, np.dtype(TYPE_IDS[dtype]))


@handles("Pad")
def pad(g, x, *, paddings: Const):
    """Zeros around x; paddings ((before, after), ...) by axis."""
    befores, afters = zip(*paddings, strict=True)
    return g.op("Pad", x, g.ints(*befores, *afters), g.like(0, x))


@handles("PadV3")
def pad_v3(g, x, paddings: Const, value=None, *, mode: Const = "constant", paddings_contiguous: Const = True):
    """paddings run from the last axis to the first: (before, after, before, after, ...)."""
    numbers = np.array(as_tuple(paddings))
    pairs = numbers.reshape(-1, 2) if paddings_contiguous else numbers.reshape(2, -1).T
    full = np.zeros((len(x.shape), 2), np.int64)
    full[len(full) - len(pairs):] = pairs[::-1]
    operator_mode = {"constant": "constant", "reflect": "reflect", "edge": "edge", "circular": "wrap"}[mode]
    return g.op("Pad", x, full.T.reshape(-1), g.like(value or 0, x) if mode == "constant" else None, mode=operator_mode)


@handles("ConstantPadND")
def constant_pad(g, x, paddings: Const, value=0.0):
    return pad_v3(g, x, paddings, value)


@handles("ZerosLikeExt")
def zeros_like(g, x, dtype: Const = None):
    return np.zeros(x.shape, g.type.dtype if g.type else x.dtype)


@handles("OnesLikeExt")
def ones_like(g, x, dtype: Const = None):
    return np.ones(x.shape, g.type.dtype if g.type else x.dtype)


@handles("FillScalar")
def fill(g, shape: Const, value: Const, dtype: Const = None):
    return np.full(as_tuple(shape), value, g.type.dtype)


@handles("Identity", "Copy", "Contiguous", "TensorMove")
def identity(g, x):
    return x
