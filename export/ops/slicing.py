"""Primitives that take regular parts of a tensor: slices, single indices, reversed and rolled axes."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.graph import Value
from msnoah.export.ops.shape import move_axis, reshape
from msnoah.export.ops.table import Const, as_tuple, handles

BEFORE_FIRST = -(1 << 40)
"""End of a slice that runs backwards to the first element."""


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
    g, x, begin, end, strides: Const,
    begin_mask: Const = 0, end_mask: Const = 0, ellipsis_mask: Const = 0, new_axis_mask: Const = 0,
    shrink_axis_mask: Const = 0,
):
    """x[begin:end:strides], where bit i of a mask says what entry i means: an open end, an ellipsis, a new axis, or
    one index, which may be a number that is computed at run time."""
    entries = list(zip(as_tuple(begin), as_tuple(end), as_tuple(strides), strict=True))
    _check_known(g, [pair for bit, (*pair, _) in enumerate(entries) if not shrink_axis_mask >> bit & 1])
    axis, ranges, dropped, added, rank = 0, {}, [], [], 0
    for bit, (first, last, step) in enumerate(entries):
        if ellipsis_mask >> bit & 1:
            later = sum(1 for b in range(bit + 1, len(entries)) if not new_axis_mask >> b & 1)
            rank, axis = rank + len(x.shape) - later - axis, len(x.shape) - later
        elif new_axis_mask >> bit & 1:
            added.append(rank)
            rank += 1
        elif shrink_axis_mask >> bit & 1:
            ranges[axis] = _one_index(first, x.shape[axis])
            dropped.append(axis)
            axis += 1
        else:
            ranges[axis] = _open_range(first, last, step, begin_mask >> bit & 1, end_mask >> bit & 1, x.shape[axis])
            axis, rank = axis + 1, rank + 1
    return _reshape_axes(g, x, ranges, dropped, added)


def _one_index(index, size: int) -> tuple:
    return index, None if isinstance(index, Value) else size if index == -1 else index + 1, 1


def _check_known(g, bounds: list) -> None:
    if any(isinstance(bound, Value) for pair in bounds for bound in pair):
        raise ConversionError(
            f"{g.place}: a slice begins or ends at a number that is computed at run time, so that the "
            "shape is not known; only one index, x[i], may be")


def _open_range(first: int, last: int, step: int, open_begin: int, open_end: int, size: int) -> tuple[int, int, int]:
    if open_begin:
        first = 0 if step > 0 else size - 1
    if open_end:
        last = size if step > 0 else BEFORE_FIRST
    return first, last, step


def _reshape_axes(g, x, ranges, dropped: list[int], added: list[int]):
    if len(dropped) == 1:
        # One index is one Gather instead of a Slice and a Squeeze.
        index = ranges.pop(dropped[0])[0]
        index = index if isinstance(index, Value) else np.array(index, np.int64)
        x = g.op("Gather", slice_axes(g, x, ranges), index, axis=dropped[0])
    else:
        for axis in [axis for axis in dropped if isinstance(ranges[axis][0], Value)]:
            x = g.op("Gather", x, g.op("Unsqueeze", ranges.pop(axis)[0], g.ints(0)), axis=axis)
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
    start %= x.shape[axis] + 1
    return slice_axes(g, x, {axis % len(x.shape): (start, start + length, 1)})


@handles("SelectExtView")
def select_index(g, x, axis: Const, index: Const):
    return g.op("Gather", x, np.array(index, np.int64), axis=axis)


@handles("ReverseV2")
def reverse(g, x, axis: Const):
    return slice_axes(g, x, {a % len(x.shape): (-1, BEFORE_FIRST, -1) for a in as_tuple(axis)})


@handles("ReverseSequence")
def reverse_sequence(g, x, lengths, *, seq_dim: Const, batch_dim: Const = 0):
    """Row b of the batch reversed in its first lengths[b] steps. ONNX wants time and batch as the first two axes."""
    time, batch = seq_dim % len(x.shape), batch_dim % len(x.shape)
    perm = [batch, time, *(axis for axis in range(len(x.shape)) if axis not in (time, batch))]
    swapped = perm != sorted(perm)
    x = g.op("Transpose", x, perm=perm) if swapped else x
    lengths = g.op("Cast", lengths, to=g.element_type(np.int64))
    x = g.op("ReverseSequence", x, lengths, batch_axis=0, time_axis=1)
    return g.op("Transpose", x, perm=[int(axis) for axis in np.argsort(perm)]) if swapped else x


@handles("Roll")
def roll(g, x, shifts: Const, dims: Const = None):
    """The last elements along each axis to its front; without axes, of the flattened tensor."""
    if not as_tuple(dims):
        return reshape(g, roll(g, reshape(g, x, (-1,)), shifts, (0,)), x.shape)
    for axis, shift in zip(as_tuple(dims), as_tuple(shifts), strict=True):
        size = x.shape[axis]
        cut = -shift % size if size else 0
        if cut:
            head, tail = g.op("Split", x, g.ints(cut, size - cut), outputs=2, axis=axis)
            x = g.op("Concat", tail, head, axis=axis)
    return x


def diagonal_of(g, x, offset: int, axis: int, other: int):
    """The diagonal of the matrices that two axes make, as the last axis: every (columns + 1)-th element of a row."""
    axis, other = axis % len(x.shape), other % len(x.shape)
    x = move_axis(g, x, axis, len(x.shape) - 1)
    x = move_axis(g, x, other - (other > axis), len(x.shape) - 1)   # (..., rows, columns)
    rows, columns = x.shape[-2:]
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    first = max(offset, 0) + max(-offset, 0) * columns
    last = len(x.shape) - 2
    x = reshape(g, x, (*x.shape[:-2], rows * columns))
    return slice_axes(g, x, {last: (first, first + length * (columns + 1) - columns if length else first, columns + 1)})


@handles("Diagonal", "DiagonalView")
def diagonal(g, x, offset: Const = 0, dim1: Const = 0, dim2: Const = 1):
    return diagonal_of(g, x, offset, dim1, dim2)
