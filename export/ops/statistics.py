"""Spread, norms and order statistics over axes; no axes means all."""

import math

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import in_result_type
from msnoah.export.ops.reduction import count_nonzero, reduce, sum_of_squares
from msnoah.export.ops.table import Const, as_tuple, handles


def moments(g, x, axis, correction: int, keep_dims: bool):
    """Variance, with the number of elements less `correction` as its divisor, and mean."""
    axes = as_tuple(axis) or tuple(range(len(x.shape)))
    count = math.prod(x.shape[a] for a in axes)
    mean = reduce(g, "ReduceMean", x, axes, True)
    squares = sum_of_squares(g, g.op("Sub", x, mean), axes, keep_dims)
    variance = g.op("Div", squares, g.like(max(count - correction, 0), x))
    return variance, reduce(g, "ReduceMean", x, axes, keep_dims)


@handles("Var")
def variance(g, x, dim: Const = None, correction: Const = 1, keepdim: Const = False):
    return moments(g, x, dim, correction, keepdim)[0]


@handles("Std")
def standard_deviation(g, x, dim: Const = None, correction: Const = 1, keepdim: Const = False):
    return g.op("Sqrt", moments(g, x, dim, correction, keepdim)[0])


@handles("VarMean")
def variance_and_mean(g, x, dim: Const = None, correction: Const = 1, keepdim: Const = False):
    return moments(g, x, dim, correction, keepdim)


@handles("StdMean", "ReduceStd")
def deviation_and_mean(g, x, dim: Const = None, correction: Const = 1, keepdim: Const = False):
    """`correction` may be the truth value `unbiased`, which counts as 1."""
    variance, mean = moments(g, x, dim, int(correction), keepdim)
    return g.op("Sqrt", variance), mean


def vector_norm(g, x, order: float, axis, keep_dims: bool):
    """(sum |x|^order)^(1 / order) over axes; the largest |x| for order infinity, the count of x != 0 for order 0."""
    if order in (1, 2):
        return reduce(g, f"ReduceL{int(order)}", x, axis, keep_dims)
    if order == 0:
        return count_nonzero(g, x, axis, keep_dims, x.dtype)
    size = g.op("Abs", x)
    if math.isinf(order):
        return reduce(g, "ReduceMax" if order > 0 else "ReduceMin", size, axis, keep_dims)
    total = reduce(g, "ReduceSum", g.op("Pow", size, g.like(order, x)), axis, keep_dims)
    return g.op("Pow", total, g.like(1 / order, x))


@handles("LpNorm")
def lp_norm(g, x, *, axis: Const, p: Const = 2, keep_dims: Const = False, epsilon: Const = 1e-12):
    return vector_norm(g, x, p, axis, keep_dims)


@handles("LpNormV2")
def lp_norm_over(g, x, p: Const = 2, dim: Const = None, keepdim: Const = False, epsilon: Const = 1e-12):
    return vector_norm(g, x, p, dim, keepdim)


@handles("Norm", "LinalgVectorNorm")
def norm_in_type(g, x, p: Const = 2.0, dim: Const = None, keepdim: Const = False, dtype: Const = None):
    return vector_norm(g, in_result_type(g, x), p, dim, keepdim)


@handles("EuclideanNorm")
def euclidean_norm(g, x, axes: Const, *, keep_dims: Const = False):
    return reduce(g, "ReduceL2", x, axes, keep_dims)


@handles("SquareSumAll")
def square_sums(g, x, y):
    return sum_of_squares(g, x, None, False), sum_of_squares(g, y, None, False)


@handles("L2Loss")
def half_square_sum(g, x):
    return g.op("Mul", sum_of_squares(g, x, None, False), g.like(0.5, x))


# --- order statistics


def find_smallest(g, x, k: int, axis: int, keep_dims: bool):
    """The k-th smallest element along an axis, k from 1, and where it lies."""
    results = g.op("TopK", x, g.ints(k), axis=axis, largest=0, outputs=2)
    return tuple(g.op("Gather", result, _last(k, keep_dims), axis=axis) for result in results)


def _last(k: int, keep_dims: bool) -> np.ndarray:
    return np.array([k - 1] if keep_dims else k - 1, np.int64)


@handles("Kthvalue")
def kth_smallest(g, x, k: Const, dim: Const = -1, keepdim: Const = False):
    return find_smallest(g, x, k, dim, keepdim)


@handles("MedianDim")
def median_along(g, x, dim: Const = -1, keepdim: Const = False):
    """The lower of the two middle elements if their number is even, and where it lies."""
    return find_smallest(g, x, (x.shape[dim] + 1) // 2, dim, keepdim)


@handles("Median")
def median_and_place(
    g, x, *, global_median: Const = False, axis: Const = 0, keep_dims: Const = False, ignore_nan: Const = False,
):
    """As MedianDim; over all elements if global_median is set, of the numbers alone if ignore_nan is."""
    x, axis = (g.op("Reshape", x, g.ints(-1)), 0) if global_median else (x, axis)
    if ignore_nan:
        return _median_of_numbers(g, x, axis, keep_dims)
    return median_along(g, x, axis, keep_dims)


def _median_of_numbers(g, x, axis: int, keep_dims: bool):
    is_nan = g.op("IsNaN", x)
    sortable = g.op("Where", is_nan, g.like(np.inf, x), x)
    places = g.op("TopK", sortable, g.ints(x.shape[axis]), axis=axis, largest=0, outputs=2)[1]
    count = reduce(g, "ReduceSum", g.op("Cast", g.op("Not", is_nan), to=g.element_type(np.int64)), axis, True)
    middle = g.op("Div", g.op("Sub", count, np.array(1)), np.array(2))
    place = g.op("GatherElements", places, middle, axis=axis)
    results = g.op("GatherElements", x, place, axis=axis), place
    return results if keep_dims else tuple(g.op("Squeeze", result, g.ints(axis)) for result in results)


@handles("MedianExt")
def median(g, x):
    flat = g.op("Reshape", x, g.ints(-1))
    return find_smallest(g, flat, (flat.shape[0] + 1) // 2, 0, False)[0]


WHOLE_TENSOR = 10000
"""What Quantile has as its axis where it takes all elements."""


@handles("Quantile")
def quantile(g, x, q: Const, *, dim: Const = WHOLE_TENSOR, keep_dims: Const = False, ignore_nan: Const = False):
    """Between the two nearest of the sorted elements in proportion; several q lead to a new first axis."""
    if ignore_nan:
        raise ConversionError(f"{g.place}: Quantile of tensors with NaN; only ignore_nan=False is known")
    rank = len(x.shape)
    x, axis = (g.op("Reshape", x, g.ints(-1)), 0) if dim == WHOLE_TENSOR else (x, dim % rank)
    count = x.shape[axis]
    ordered = g.op("TopK", x, g.ints(count), axis=axis, largest=0, outputs=2)[0]
    places = np.asarray(q, np.float64).reshape(-1) * (count - 1)
    below, above = (
        g.op("Gather", ordered, rounded(places).astype(np.int64), axis=axis) for rounded in (np.floor, np.ceil))
    weights = (places % 1).astype(x.dtype).reshape([-1] + [1] * (len(x.shape) - 1 - axis))
    result = g.op("Add", below, g.op("Mul", g.op("Sub", above, below), weights))
    return _arrange_quantiles(g, result, axis, np.ndim(q), [1] * rank if dim == WHOLE_TENSOR else None, keep_dims)


def _arrange_quantiles(g, x, axis: int, several: int, whole: list[int] | None, keep_dims: bool):
    # The axis of quantiles goes to the front, or goes away where there is one; the reduced axes stay as 1 if kept.
    others = [1 if a == axis else size for a, size in enumerate(x.shape) if keep_dims or a != axis]
    others = whole if keep_dims and whole else others
    x = g.op("Transpose", x, perm=[axis, *(a for a in range(len(x.shape)) if a != axis)])
    return g.op("Reshape", x, g.ints(*[x.shape[0]] * several, *others))
