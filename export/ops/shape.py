"""Primitives that change a tensor's shape, or repeat it, and leave the order of its elements."""

import numpy as np

from msnoah.export.ops.table import Const, as_tuple, handles


def reshape(g, x, shape):
    """x in a shape; one size may be -1. Written out in full, so that passes can compare shapes."""
    shape = list(shape)
    if -1 in shape:
        known = int(np.prod([size for size in shape if size != -1]))
        shape[shape.index(-1)] = int(np.prod(x.shape)) // known if known else 0
    if tuple(shape) == tuple(x.shape):
        return x
    return g.op("Reshape", x, g.ints(*shape), allowzero=1 if 0 in shape else None)   # Else 0 stands for x's own size.


@handles("Reshape")
def reshape_to(g, x, shape: Const):
    return reshape(g, x, as_tuple(shape))


@handles("ViewAs")
def reshape_like(g, x, other):
    return reshape(g, x, other.shape)


@handles("Flatten")
def flatten(g, x):
    return reshape(g, x, (x.shape[0], -1))


@handles("FlattenExt")
def flatten_axes(g, x, start_dim: Const = 0, end_dim: Const = -1):
    rank = max(len(x.shape), 1)
    first, last = start_dim % rank, end_dim % rank
    return reshape(g, x, (*x.shape[:first], -1, *x.shape[last + 1:]))


@handles("ExpandDims", "ExpandDimsView")
def expand_dims(g, x, axis: Const):
    return g.op("Unsqueeze", x, g.ints(*as_tuple(axis)))


@handles("Squeeze")
def squeeze(g, x, axis: Const = None):
    """Without the axes given, or without all of size 1; an axis of another size stays."""
    candidates = as_tuple(axis) or range(len(x.shape))
    axes = [a for a in candidates if x.shape[a] == 1]
    return g.op("Squeeze", x, g.ints(*axes)) if axes else x


@handles("Transpose", "TransposeView", "ConjugateTranspose")
def transpose(g, x, perm: Const):
    return g.op("Transpose", x, perm=[axis % len(x.shape) for axis in as_tuple(perm)])


@handles("TransposeExtView")
def swap_axes(g, x, first: Const, second: Const):
    perm = list(range(len(x.shape)))
    perm[first], perm[second] = perm[second], perm[first]
    return g.op("Transpose", x, perm=perm)


@handles("TExt")
def transpose_matrix(g, x):
    return g.op("Transpose", x, perm=[1, 0]) if len(x.shape) == 2 else x


def move_axis(g, x, source: int, target: int):
    """x with one axis at another place; the others keep their order."""
    perm = [axis for axis in range(len(x.shape)) if axis != source]
    perm.insert(target, source)
    return x if source == target else g.op("Transpose", x, perm=perm)


@handles("Tile", "Repeat")
def tile(g, x, repeats: Const):
    repeats = as_tuple(repeats)
    shape = (*[1] * (len(repeats) - len(x.shape)), *x.shape)
    return g.op("Tile", reshape(g, x, shape), g.ints(*[1] * (len(shape) - len(repeats)), *repeats))


@handles("BroadcastTo", "BroadcastToView", "Expand")
def broadcast_to(g, x, shape: Const):
    shape = as_tuple(shape)
    sizes = (*[1] * (len(shape) - len(x.shape)), *x.shape)
    full = [size if target == -1 else target for target, size in zip(shape, sizes, strict=True)]
    return g.op("Expand", x, g.ints(*full))


@handles("ExpandAs")
def broadcast_like(g, x, other):
    return g.op("Expand", x, g.ints(*other.shape))


@handles("Meshgrid")
def meshgrid(g, tensors, indexing: Const = 1):
    """1-d tensors -> one N-d tensor each, which varies along its own axis; 'xy' (1) swaps the first two axes."""
    order = list(range(len(tensors)))
    if indexing in (1, "xy") and len(order) > 1:
        order[:2] = 1, 0
    shape = [tensors[i].shape[0] for i in order]
    grids = []
    for index, tensor in enumerate(tensors):
        axis = order.index(index)
        line = reshape(g, tensor, [-1 if a == axis else 1 for a in range(len(shape))])
        grids.append(g.op("Expand", line, g.ints(*shape)))
    return tuple(grids)


@handles("TensorShape")
def shape_tensor(g, x):
    return np.array(x.shape, np.int64)


@handles("Identity", "Copy", "Contiguous", "TensorMove", "Clone")
def identity(g, x):
    return x


@handles("Detach")
def detach(g, x, sync: Const = False):
    return x
