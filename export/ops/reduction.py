"""Reductions over axes; no axes means all."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.table import Const, as_tuple, handles

AXES_AS_INPUT = {"ReduceSum": 13, "ReduceMean": 18, "ReduceMax": 18, "ReduceMin": 18, "ReduceProd": 18, "ReduceL2": 18}
"""The operator set from which on an operator takes its axes as an input instead of an attribute."""


def reduce(g, operator: str, x, axis, keep_dims: bool):
    """One ONNX reduction over the axes given, in the form of the operator set."""
    axes = sorted(a % len(x.shape) for a in as_tuple(axis)) or list(range(len(x.shape)))
    if not axes:
        return x
    if g.opset >= AXES_AS_INPUT[operator]:
        return g.op(operator, x, g.ints(*axes), keepdims=int(keep_dims))
    return g.op(operator, x, axes=axes, keepdims=int(keep_dims))


@handles("ReduceMean")
def reduce_mean(g, x, axis: Const = None, keep_dims: Const = False):
    return reduce(g, "ReduceMean", x, axis, keep_dims)


@handles("ReduceSum")
def reduce_sum(g, x, axis: Const = None, keep_dims: Const = False, skip_mode: Const = False):
    if skip_mode and not as_tuple(axis):
        return x
    return reduce(g, "ReduceSum", x, axis, keep_dims)


@handles("ReduceMax")
def reduce_max(g, x, axis: Const = None, keep_dims: Const = False):
    return reduce(g, "ReduceMax", x, axis, keep_dims)


@handles("ReduceMin")
def reduce_min(g, x, axis: Const = None, keep_dims: Const = False):
    return reduce(g, "ReduceMin", x, axis, keep_dims)


@handles("ReduceProd")
def reduce_prod(g, x, axis: Const = None, keep_dims: Const = False):
    return reduce(g, "ReduceProd", x, axis, keep_dims)


@handles("MeanExt")
def mean(g, x, dim: Const = None, keepdim: Const = False, dtype: Const = None):
    return reduce(g, "ReduceMean", _in_result_type(g, x), dim, keepdim)


@handles("SumExt")
def sum_(g, x, dim: Const = None, keepdim: Const = False, dtype: Const = None):
    return reduce(g, "ReduceSum", _in_result_type(g, x), dim, keepdim)


def _in_result_type(g, x):
    # `dtype` says in which element type to add up; it is that of the declared result.
    return x if g.type is None else cast(g, x, g.type.dtype)


@handles("LpNorm")
def norm(g, x, *, axis: Const, p: Const = 2, keep_dims: Const = False, epsilon: Const = 1e-12):
    if p != 2:
        raise ConversionError(f"{g.scope}: LpNorm of order {p}; only 2 is known")
    return reduce(g, "ReduceL2", x, axis, keep_dims)


@handles("CumSum")
def cumulative_sum(g, x, axis: Const, exclusive: Const = False, reverse: Const = False):
    return g.op("CumSum", x, np.array(as_tuple(axis)[0], np.int64), exclusive=int(exclusive), reverse=int(reverse))
