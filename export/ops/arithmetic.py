"""Element-wise arithmetic, in all its spellings: tensor with tensor, tensor with number, in place, and with a
factor alpha."""

from typing import Any

import numpy as np

from msnoah.export.graph import Value
from msnoah.export.ops.table import Const, handles

UNARY = {
    "Abs": "Abs", "Neg": "Neg", "Exp": "Exp", "Log": "Log", "Sqrt": "Sqrt", "Reciprocal": "Reciprocal",
    "Sin": "Sin", "Cos": "Cos", "Erf": "Erf", "Floor": "Floor", "Ceil": "Ceil",
    "Sign": "Sign", "LogicalNot": "Not", "Atan": "Atan", "Tan": "Tan",
}
"""MindIR primitives of one tensor that have an ONNX operator of the same meaning."""

BINARY = {
    "Add": ("Add",), "Sub": ("Sub",), "Mul": ("Mul", "Muls", "InplaceMul", "InplaceMuls"),
    "Div": ("Div", "Divs", "RealDiv", "InplaceDiv", "InplaceDivs"),
    "Pow": ("Pow", "PowTensorScalar", "PowScalarTensor"),
    "Max": ("Maximum",), "Min": ("Minimum",), "And": ("LogicalAnd",), "Or": ("LogicalOr",),
    "Equal": ("Equal", "EqScalar"), "Greater": ("Greater",), "Less": ("Less", "LessScalar"),
    "GreaterOrEqual": ("GreaterEqual",), "LessOrEqual": ("LessEqual",),
}
"""MindIR spellings by ONNX operator, for two operands of one element type."""


def promote(g, x: Any, y: Any) -> tuple[Any, Any]:
    """Both operands as tensors of one element type; a Python number takes the tensor's, or float32 if it has a
    fraction."""
    types = [operand.dtype for operand in (x, y) if isinstance(operand, Value | np.ndarray)]
    fraction = any(isinstance(operand, float) for operand in (x, y))
    dtype = np.result_type(*types) if types else np.dtype(np.float32 if fraction else np.int64)
    dtype = np.dtype(np.float32) if fraction and not np.issubdtype(dtype, np.floating) else dtype
    return cast(g, x, dtype), cast(g, y, dtype)


def cast(g, x: Any, dtype: np.dtype) -> Any:
    """A tensor or number in an element type; unchanged if it has it."""
    if not isinstance(x, Value | np.ndarray):
        return np.array(x, dtype)
    return x if x.dtype == dtype else g.op("Cast", x, to=int(g.element_type(dtype)))


def _register_unary(primitive: str, operator: str) -> None:
    def handler(g, x):
        return g.op(operator, x)
    handles(primitive)(handler)


def _register_binary(operator: str, primitives: tuple[str, ...]) -> None:
    def handler(g, x, y):
        return g.op(operator, *promote(g, x, y))
    handles(*primitives)(handler)


for _primitive, _operator in UNARY.items():
    _register_unary(_primitive, _operator)
for _operator, _primitives in BINARY.items():
    _register_binary(_operator, _primitives)


def _scaled(g, y: Any, alpha: Any) -> Any:
    return y if alpha == 1 else g.op("Mul", *promote(g, y, alpha))


@handles("AddExt", "AddScalar", "InplaceAddExt", "InplaceAddsExt")
def add_scaled(g, x, y, alpha: Const = 1):
    """x + alpha y"""
    return g.op("Add", *promote(g, x, _scaled(g, y, alpha)))


@handles("SubExt", "SubScalar", "InplaceSubExt")
def subtract_scaled(g, x, y, alpha: Const = 1):
    """x - alpha y"""
    return g.op("Sub", *promote(g, x, _scaled(g, y, alpha)))


@handles("NotEqual")
def not_equal(g, x, y):
    return g.op("Not", g.op("Equal", *promote(g, x, y)))


@handles("FloorDiv")
def floor_divide(g, x, y):
    """floor(x / y), for floating-point operands; ONNX's Div truncates integers."""
    x, y = promote(g, x, y)
    if np.issubdtype(x.dtype, np.floating):
        return g.op("Floor", g.op("Div", x, y))
    remainder = g.op("Mod", x, y)   # Has the sign of y, so that x - remainder divides exactly.
    return g.op("Div", g.op("Sub", x, remainder), y)


@handles("Rsqrt")
def reciprocal_sqrt(g, x):
    return g.op("Reciprocal", g.op("Sqrt", x))


@handles("RemainderTensorScalar", "RemainderTensorTensor", "FloorMod")
def remainder(g, x, y):
    """x - floor(x / y) y, which has the sign of y."""
    x, y = promote(g, x, y)
    if not np.issubdtype(x.dtype, np.floating):
        return g.op("Mod", x, y)
    return g.op("Sub", x, g.op("Mul", g.op("Floor", g.op("Div", x, y)), y))


@handles("Square")
def square(g, x):
    return g.op("Mul", x, x)


@handles("Expm1")
def exp_minus_one(g, x):
    return g.op("Sub", g.op("Exp", x), g.like(1, x))


@handles("Select")
def select(g, condition, x, y):
    return g.op("Where", condition, *promote(g, x, y))


@handles("MaskedFill")
def masked_fill(g, x, mask, value):
    return g.op("Where", mask, cast(g, value, x.dtype), x)


@handles("ClampScalar", "ClampTensor")
def clamp(g, x, low=None, high=None):
    if low is not None:
        x = g.op("Max", *promote(g, x, low))
    return x if high is None else g.op("Min", *promote(g, x, high))
