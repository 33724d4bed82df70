"""Python numbers: computed at export where they are known, ONNX arithmetic of 0-d tensors where they are not.

A number that is known only at run time is int64, float32 or bool, as MindSpore has it.
"""

import operator
from collections.abc import Callable

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.graph import Value
from msnoah.export.ops.arithmetic import cast, floor_divide, promote
from msnoah.export.ops.casting import element_type
from msnoah.export.ops.table import Const, handles

BINARY = {
    "ScalarAdd": (operator.add, "Add"), "ScalarSub": (operator.sub, "Sub"), "ScalarMul": (operator.mul, "Mul"),
    "ScalarPow": (operator.pow, "Pow"), "ScalarLt": (operator.lt, "Less"), "ScalarGt": (operator.gt, "Greater"),
    "ScalarLe": (operator.le, "LessOrEqual"), "ScalarGe": (operator.ge, "GreaterOrEqual"),
    "ScalarEq": (operator.eq, "Equal"),
}
"""Python's function and ONNX's operator by primitive."""


def _known(*numbers) -> bool:
    return not any(isinstance(number, Value) for number in numbers)


def _register(primitive: str, function: Callable, onnx_operator: str) -> None:
    @handles(primitive)
    def compute(g, x, y):
        return _compute(g, function, x, y) if _known(x, y) else g.op(onnx_operator, *promote(g, x, y))


def _compute(g, function: Callable, x, y):
    try:
        return function(x, y)
    except ArithmeticError as error:
        raise ConversionError(f"{g.place}: {x} and {y} in a calculation of numbers: {error}") from None


for _primitive, _functions in BINARY.items():
    _register(_primitive, *_functions)


@handles("ScalarDiv")
def divide(g, x, y):
    if _known(x, y):
        return _compute(g, operator.truediv, x, y)
    return g.op("Div", cast(g, x, np.dtype(np.float32)), cast(g, y, np.dtype(np.float32)))


@handles("ScalarFloorDiv")
def divide_to_integer(g, x, y):
    return _compute(g, operator.floordiv, x, y) if _known(x, y) else floor_divide(g, *promote(g, x, y))


@handles("ScalarMod")
def modulo(g, x, y):
    """x - floor(x / y) y"""
    if _known(x, y):
        return _compute(g, operator.mod, x, y)
    x, y = promote(g, x, y)
    if np.issubdtype(x.dtype, np.integer):
        return g.op("Mod", x, y)
    return g.op("Sub", x, g.op("Mul", g.op("Floor", g.op("Div", x, y)), y))


@handles("ScalarUsub")
def negate(g, x):
    return -x if _known(x) else g.op("Neg", x)


@handles("ScalarCast")
def cast_number(g, x, dtype: Const):
    """int(x), float(x) or bool(x), by MindSpore's TypeId."""
    target = element_type(g, dtype)
    if isinstance(x, Value):
        return cast(g, x, target)
    python_type = {"b": bool, "i": int, "u": int, "f": float}[target.kind]
    return python_type(x)


@handles("ScalarToTensor")
def scalar_to_tensor(g, x, dtype: Const = 43):
    return cast(g, x, element_type(g, dtype))


@handles("TensorToScalar")
def tensor_to_scalar(g, x):
    return x.item() if isinstance(x, np.ndarray) else g.op("Reshape", x, g.ints())
