"""Running sums, products and extremes along an axis.

ONNX has the running sum only. The others double the reach of each element step by step: after the step of 1, 2, 4, ...
an element has seen its 2, 4, 8, ... neighbours, so that an axis of length n takes log2(n) steps.
"""

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.ops.arithmetic import cast, in_result_type
from msnoah.export.ops.exponential import log_add_exp
from msnoah.export.ops.table import Const, as_tuple, handles


@handles("CumSum")
def cumulative_sum(g, x, axis: Const, exclusive: Const = False, reverse: Const = False):
    return g.op("CumSum", x, np.array(as_tuple(axis)[0], np.int64), exclusive=int(exclusive), reverse=int(reverse))


@handles("CumsumExt")
def cumulative_sum_in_type(g, x, dim: Const, dtype: Const = None):
    return g.op("CumSum", in_result_type(g, x), np.array(dim, np.int64))


def accumulate(g, x, axis: int, combine, neutral, exclusive: bool = False, reverse: bool = False):
    """combine(x[0], ..., x[i]) for each i along an axis; `neutral` is what changes nothing.

    Args:
        combine: ONNX operators on two tensors, associative.
        exclusive: leave out x[i] itself.
        reverse: run from the end.
    """
    x = _shift(g, x, axis, 1, neutral, reverse) if exclusive else x
    reach = 1
    while reach < x.shape[axis]:
        x = combine(g, _shift(g, x, axis, reach, neutral, reverse), x)
        reach *= 2
    return x


def _shift(g, x, axis: int, count: int, neutral, reverse: bool):
    # Pads at one end and crops at the other.
    pads = np.zeros((2, len(x.shape)), np.int64)
    pads[:, axis] = (-count, count) if reverse else (count, -count)
    return g.op("Pad", x, pads.reshape(-1), g.like(neutral, x))


@handles("CumProd")
def cumulative_product(g, x, axis: Const, exclusive: Const = False, reverse: Const = False):
    return accumulate(
        g, in_result_type(g, x), as_tuple(axis)[0], lambda g, a, b: g.op("Mul", a, b), 1, exclusive, reverse)


@handles("CumulativeLogsumexp")
def cumulative_log_sum_exp(g, x, axis: Const, *, exclusive: Const = False, reverse: Const = False):
    return accumulate(g, x, as_tuple(axis)[0], log_add_exp, np.finfo(x.dtype).min, exclusive, reverse)


def _extremes(g, operator: str, x, axis: int):
    """(values, indices): the running extreme and the last place where it was reached."""
    limits = np.finfo(x.dtype) if np.issubdtype(x.dtype, np.floating) else np.iinfo(x.dtype)
    neutral = limits.min if operator == "Max" else limits.max
    values = accumulate(g, x, axis, lambda g, a, b: g.op(operator, a, b), neutral)
    places = np.arange(x.shape[axis]).reshape([-1] + [1] * (len(x.shape) - 1 - axis % len(x.shape)))
    reached = g.op("Where", g.op("Equal", x, values), places, np.array(-1))
    places = accumulate(g, reached, axis, lambda g, a, b: g.op("Max", a, b), -1)
    declared = g.type[1] if isinstance(g.type, tuple) else None
    return values, cast(g, places, declared.dtype) if isinstance(declared, TensorType) else places


@handles("Cummax")
def cumulative_maximum(g, x, axis: Const):
    return _extremes(g, "Max", x, axis)


@handles("Cummin", "CumminExt")
def cumulative_minimum(g, x, axis: Const):
    return _extremes(g, "Min", x, axis)
