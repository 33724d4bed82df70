"""Primitives that order elements: largest, sorted, and places in a sorted row."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast, promote
from msnoah.export.ops.reduction import reduce
from msnoah.export.ops.table import Const, as_tuple, handles

SORTABLE = {np.dtype(kind) for kind in (np.float32, np.float64, np.int32, np.int64)}
"""Element types that ONNX Runtime's TopK takes; others are sorted as float32 or int32, which hold them exactly."""


def top_k(g, x, count: int, axis: int, largest: bool, index_type, in_order: bool = True):
    """The first elements along an axis and their places; of equal elements the first comes first."""
    dtype = x.dtype
    if dtype not in SORTABLE:
        x = cast(g, x, np.dtype(np.float32 if np.issubdtype(dtype, np.floating) else np.int32))
    values, places = g.op(
        "TopK", x, g.ints(count), outputs=2, axis=axis, largest=int(largest), sorted=int(in_order))
    return cast(g, values, dtype), cast(g, places, np.dtype(index_type))


@handles("TopK")
def top_k_of_last(g, x, k: Const, *, sorted: Const = True):
    return top_k(g, x, as_tuple(k)[0], -1, True, np.int32, sorted)


@handles("TopkExt")
def top_k_of_axis(g, x, k: Const, dim: Const = -1, largest: Const = True, sorted: Const = True):
    return top_k(g, x, k, dim, largest, np.int64, sorted)


@handles("Sort")
def sort(g, x, *, axis: Const = -1, descending: Const = False):
    return top_k(g, x, x.shape[axis], axis, descending, np.int32)


@handles("SortExt")
def sort_axis(g, x, dim: Const = -1, descending: Const = False, stable: Const = False):
    return top_k(g, x, x.shape[dim], dim, descending, np.int64)


@handles("ArgSort")
def argsort(g, x, dim: Const = -1, descending: Const = False, stable: Const = False):
    return top_k(g, x, x.shape[dim], dim, descending, np.int64)[1]


def count_below(g, row, values, include_equal: bool, dtype: np.dtype):
    """How many elements of a sorted row (..., S) are below each of the values (..., V)."""
    row, values = promote(g, row, values)
    values = g.op("Unsqueeze", values, g.ints(-1))   # (..., V, 1)
    row = g.op("Unsqueeze", row, g.ints(-2)) if len(row.shape) > 1 else row
    below = g.op("LessOrEqual" if include_equal else "Less", row, values)
    counts = reduce(g, "ReduceSum", g.op("Cast", below, to=g.element_type(np.int32)), (-1,), False)
    return cast(g, counts, dtype)


@handles("SearchSorted")
def search_sorted(g, row, values, sorter: Const = None, dtype: Const = None, right: Const = False):
    if sorter is not None:
        raise ConversionError(f"{g.place}: SearchSorted with a sorter; sort the sequence before instead")
    return count_below(g, row, values, right, g.type.dtype)


@handles("Bucketize")
def bucketize(g, values, *, boundaries: Const):
    """MindSpore's Bucketize counts the boundaries that are not above a value."""
    return count_below(g, np.array(boundaries, np.float32), values, True, g.type.dtype)


@handles("LowerBound")
def lower_bound(g, row, values):
    return count_below(g, row, values, False, g.type.dtype)


@handles("UpperBound")
def upper_bound(g, row, values):
    return count_below(g, row, values, True, g.type.dtype)
