"""Tensors that are made of numbers: constants of any shape, ranges, identity matrices, one-hot rows."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.folding import check_size
from msnoah.export.graph import Value
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.table import Const, as_tuple, handles


def scalar(g, value, dtype: np.dtype):
    """A number, or a tensor of one element, as a 0-d tensor."""
    return cast(g, reshape(g, value, ()) if isinstance(value, Value | np.ndarray) else value, dtype)


def filled(g, shape, value, dtype: np.dtype):
    """A shape full of one number, or of one element that is computed at run time."""
    return g.op("Expand", scalar(g, value, dtype), g.ints(*shape))


@handles("ZerosLikeExt", "InplaceZero")
def zeros_like(g, x, dtype: Const = None):
    return np.zeros(x.shape, g.type.dtype)


@handles("OnesLikeExt")
def ones_like(g, x, dtype: Const = None):
    return np.ones(x.shape, g.type.dtype)


@handles("NewZeros")
def new_zeros(g, x, shape: Const, dtype: Const = None):
    return np.zeros(as_tuple(shape), g.type.dtype)


@handles("NewOnes")
def new_ones(g, x, shape: Const, dtype: Const = None):
    check_size(as_tuple(shape))
    return np.ones(as_tuple(shape), g.type.dtype)


@handles("NewFull")
def new_full(g, x, shape: Const, value, dtype: Const = None):
    return filled(g, as_tuple(shape), value, g.type.dtype)


@handles("FillScalar", "FillTensor", "FillV2")
def fill(g, shape: Const, value, dtype: Const = None):
    return filled(g, as_tuple(shape), value, g.type.dtype)


@handles("FullLike", "Fills", "InplaceFillScalar", "InplaceFillTensor")
def fill_like(g, x, value, dtype: Const = None):
    return filled(g, x.shape, value, g.type.dtype)


@handles("Eye")
def eye(g, rows: Const, columns: Const, dtype: Const):
    check_size((rows, columns))
    return np.eye(rows, columns, dtype=g.type.dtype)


@handles("LinSpace", "LinSpaceExt")
def linspace(g, start: Const, end: Const, count: Const, dtype: Const = None):
    check_size([int(count)])
    numbers = np.linspace(start, end, int(count), axis=-1)
    return numbers.astype(g.type.dtype)


@handles("LogSpace")
def logspace(g, start: Const, end: Const, *, steps: Const, base: Const):
    check_size([steps])
    return np.logspace(start, end, steps, base=base).astype(g.type.dtype)


@handles("TrilIndices")
def lower_triangle_indices(g, *, row: Const, col: Const, offset: Const = 0):
    check_size((row, col))
    return np.stack(np.tril_indices(row, offset, col)).astype(g.type.dtype)


@handles("TriuIndices")
def upper_triangle_indices(g, *, row: Const, col: Const, offset: Const = 0):
    return np.stack(np.triu_indices(row, offset, col)).astype(g.type.dtype)


@handles("OneHot", "OneHotExt")
def one_hot(g, indices, depth: Const, on=1, off=0, axis: Const = -1):
    """on where the new axis counts to the index, off elsewhere; an index outside of 0..depth-1 gives a row of off.

    ONNX's OneHot takes negative indices from the end, so this is a comparison.
    """
    if depth < 0:
        raise ConversionError(f"{g.place}: one-hot rows as long as the data need; give the number of classes")
    axis = axis % (len(indices.shape) + 1)
    numbers = np.arange(depth, dtype=np.int64).reshape(-1, *[1] * (len(indices.shape) - axis))
    hot = g.op("Equal", g.op("Unsqueeze", cast(g, indices, np.dtype(np.int64)), g.ints(axis)), numbers)
    on, off = scalar(g, on, g.type.dtype), scalar(g, off, g.type.dtype)
    plain = isinstance(on, np.ndarray) and isinstance(off, np.ndarray) and on == 1 and off == 0
    return cast(g, hot, g.type.dtype) if plain else g.op("Where", hot, on, off)
