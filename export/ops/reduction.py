"""Reductions over axes; no axes means all."""

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.ops.arithmetic import cast, in_result_type, is_float
from msnoah.export.ops.table import Const, as_tuple, handles

REDUCTIONS = {
    "ReduceMean": ("ReduceMean",), "ReduceMax": ("ReduceMax",), "ReduceMin": ("ReduceMin",),
    "ReduceProd": ("ReduceProd", "ProdExt"), "ReduceLogSumExp": ("LogSumExp",),
}
"""MindIR primitives of a tensor, axes and whether to keep them, by ONNX operator."""

OF_ELEMENT = {"ReduceL1": "Abs", "ReduceL2": "Abs"}
"""What a reduction of a single element is; the others give the element itself."""


def reduce(g, operator: str, x, axis, keep_dims: bool):
    """One ONNX reduction over the axes given."""
    axes = sorted(a % len(x.shape) for a in as_tuple(axis) if x.shape) or list(range(len(x.shape)))
    if not axes:
        return g.op(OF_ELEMENT[operator], x) if operator in OF_ELEMENT else x
    return g.op(operator, x, g.ints(*axes), keepdims=int(keep_dims))


def sum_of_squares(g, x, axis, keep_dims: bool):
    """The sum of x^2 over axes."""
    return reduce(g, "ReduceSumSquare", x, axis, keep_dims) if x.shape else g.op("Mul", x, x)


def _register(operator: str, primitives: tuple[str, ...]) -> None:
    def handler(g, x, axis: Const = None, keep_dims: Const = False, dtype: Const = None):
        return reduce(g, operator, in_result_type(g, x), axis, keep_dims)
    handles(*primitives)(handler)


for _operator, _primitives in REDUCTIONS.items():
    _register(_operator, _primitives)


@handles("ReduceSum")
def reduce_sum(g, x, axis: Const = None, keep_dims: Const = False, skip_mode: Const = False):
    if skip_mode and not as_tuple(axis):
        return x
    return reduce(g, "ReduceSum", x, axis, keep_dims)


@handles("MeanExt")
def mean(g, x, dim: Const = None, keepdim: Const = False, dtype: Const = None):
    return reduce(g, "ReduceMean", in_result_type(g, x), dim, keepdim)


@handles("SumExt")
def sum_(g, x, dim: Const = None, keepdim: Const = False, dtype: Const = None):
    return reduce(g, "ReduceSum", in_result_type(g, x), dim, keepdim)


@handles("Nansum")
def sum_of_numbers(g, x, dim: Const = None, keepdim: Const = False, dtype: Const = None):
    """The sum of what is a number."""
    x = in_result_type(g, x)
    x = g.op("Where", g.op("IsNaN", x), g.like(0, x), x) if is_float(x) else x
    return reduce(g, "ReduceSum", x, dim, keepdim)


def count_nonzero(g, x, axis, keep_dims: bool, dtype: np.dtype):
    """How many elements are not 0, in an element type."""
    return reduce(g, "ReduceSum", cast(g, cast(g, x, np.dtype(bool)), dtype), axis, keep_dims)


@handles("CountNonZero")
def count_nonzero_over(g, x, dim: Const = None):
    return count_nonzero(g, x, dim, False, np.dtype(np.int64))


def _reduce_truth(g, operator: str, x, axis, keep_dims: bool):
    # ONNX reduces numbers: the largest truth value is `any`, the smallest `all`.
    truth = cast(g, cast(g, x, np.dtype(bool)), np.dtype(np.uint8))
    return cast(g, reduce(g, operator, truth, axis, keep_dims), np.dtype(bool))


@handles("ReduceAll")
def all_true(g, x, axis: Const = None, keep_dims: Const = False):
    return _reduce_truth(g, "ReduceMin", x, axis, keep_dims)


@handles("ReduceAny")
def any_true(g, x, axis: Const = None, keep_dims: Const = False):
    return _reduce_truth(g, "ReduceMax", x, axis, keep_dims)


@handles("Max")
def largest(g, x):
    return reduce(g, "ReduceMax", x, None, False)


@handles("Min")
def smallest(g, x):
    return reduce(g, "ReduceMin", x, None, False)


# --- places of the extremes: the first of equal ones


def find_extreme(g, operator: str, x, axis: int | None, keep_dims: bool, dtype: np.dtype):
    """Where along an axis (None: in the flattened tensor) the extreme lies, by ONNX's ArgMax or ArgMin."""
    x = g.op("Reshape", x, g.ints(-1)) if axis is None or not x.shape else x
    return cast(g, g.op(operator, x, axis=axis or 0, keepdims=int(keep_dims and axis is not None)), dtype)


def _index_type(g, place: int | None = None) -> np.dtype:
    declared = g.type if place is None else g.type[place]
    return declared.dtype if isinstance(declared, TensorType) else np.dtype(np.int64)


def _register_places(letters: str) -> None:
    extreme, place = f"Reduce{letters}", f"Arg{letters}"

    @handles(f"Arg{letters}WithValue")
    def place_and_value(g, x, axis: Const = 0, keep_dims: Const = False):
        """(indices, values)"""
        places = find_extreme(g, place, x, axis, keep_dims, _index_type(g, 0))
        return places, reduce(g, extreme, x, axis, keep_dims)

    @handles(f"{letters}Dim")
    def value_and_place(g, x, dim: Const, keepdim: Const = False):
        """(values, indices)"""
        return reduce(g, extreme, x, dim, keepdim), find_extreme(g, place, x, dim, keepdim, _index_type(g, 1))

    @handles(f"Arg{letters.lower()}")
    def place_in_type(g, x, axis: Const = -1, output_type: Const = None):
        return find_extreme(g, place, x, axis, False, _index_type(g))

    @handles(f"Arg{letters}Ext")
    def place_along(g, x, dim: Const = None, keepdim: Const = False):
        return find_extreme(g, place, x, dim, keepdim, _index_type(g))


for _letters in ("Max", "Min"):
    _register_places(_letters)
