"""Primitives that join tensors along an axis, or cut one into several."""

from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.table import Const, as_tuple, handles


@handles("Concat")
def concat(g, tensors, axis: Const = 0):
    """Tensors of different element types are joined in the type of the result."""
    tensors = [cast(g, tensor, g.type.dtype) for tensor in tensors] if g.type else tensors
    return tensors[0] if len(tensors) == 1 else g.op("Concat", *tensors, axis=axis)


@handles("Stack")
def stack(g, tensors, *, axis: Const):
    """Joins tensors along a new axis."""
    return stack_axis(g, tensors, axis)


@handles("StackExt")
def stack_axis(g, tensors, axis: Const = 0):
    """Joins tensors along a new axis."""
    return concat(g, [g.op("Unsqueeze", tensor, g.ints(axis)) for tensor in tensors], axis)


@handles("Unstack")
def unstack(g, x, *, axis: Const):
    """The slices along an axis, without it."""
    return unstack_axis(g, x, axis)


@handles("UnstackExtView")
def unstack_axis(g, x, axis: Const = 0):
    """The slices along an axis, without it."""
    parts = split_sizes(g, x, [1] * x.shape[axis], axis)
    return tuple(g.op("Squeeze", part, g.ints(axis)) for part in parts)


def split_sizes(g, x, sizes, axis: int) -> tuple:
    """Parts of the given sizes along an axis."""
    if len(sizes) == 1:
        return (x,)
    return g.op("Split", x, g.ints(*sizes), outputs=len(sizes), axis=axis)


def _even_sizes(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


@handles("Split")
def split(g, x, axis: Const = 0, output_num: Const = 1):
    return split_sizes(g, x, [x.shape[axis] // output_num] * output_num, axis)


@handles("SplitV")
def split_by_attributes(g, x, *, size_splits: Const, split_dim: Const, num_split: Const = None):
    """Parts of the given sizes; one of them may be -1, the rest."""
    sizes = as_tuple(size_splits)
    rest = x.shape[split_dim] - sum(size for size in sizes if size != -1)
    return split_sizes(g, x, [rest if size == -1 else size for size in sizes], split_dim)


@handles("SplitTensor", "SplitTensorView")
def split_by_size(g, x, split_size: Const, axis: Const = 0):
    return split_sizes(g, x, _even_sizes(x.shape[axis], split_size), axis)


@handles("SplitWithSize", "SplitWithSizeView")
def split_with_sizes(g, x, sizes: Const, axis: Const = 0):
    return split_sizes(g, x, as_tuple(sizes), axis)


@handles("Chunk", "ChunkView")
def chunk(g, x, chunks: Const, axis: Const = 0):
    return split_sizes(g, x, _even_sizes(x.shape[axis], -(-x.shape[axis] // chunks)), axis)
