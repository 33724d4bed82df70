"""Element-wise arithmetic, in all its spellings: tensor with tensor, tensor with number, in place, and with a
factor alpha."""

from functools import reduce
from typing import Any

import numpy as np

from msnoah.export.graph import TensorType, Value
from msnoah.export.ops.table import Const, handles

UNARY = {
    "Abs": "Abs", "Neg": "Neg", "Sign": "Sign", "InplaceSign": "Sign", "Sqrt": "Sqrt", "Reciprocal": "Reciprocal",
    "Inv": "Reciprocal",
}
"""MindIR primitives of one tensor that have an ONNX operator of the same meaning."""

BINARY = {
    "Sub": ("Sub",), "Mul": ("Mul", "Muls", "InplaceMul", "InplaceMuls"),
    "Div": ("Div", "Divs", "RealDiv", "InplaceDiv", "InplaceDivs"),
    "Pow": ("Pow", "PowTensorScalar", "PowScalarTensor"),
    "Add": ("Add",), "Max": ("Maximum",), "Min": ("Minimum",),
}
"""MindIR spellings by ONNX operator, for two operands of the result's element type."""

OF_BOOLEANS = {"Add": "Or", "Mul": "And", "Max": "Or", "Min": "And"}
"""What the arithmetic of numbers is for truth values."""


def promote(g, x: Any, y: Any) -> tuple[Any, Any]:
    """Both operands as tensors of one element type; a Python number takes the tensor's, or float32 if it has a
    fraction."""
    types = [operand.dtype for operand in (x, y) if isinstance(operand, Value | np.ndarray)]
    fraction = any(isinstance(operand, float) for operand in (x, y))
    dtype = _common_type(types) if types else np.dtype(np.float32 if fraction else np.int64)
    dtype = np.dtype(np.float32) if fraction and not np.issubdtype(dtype, np.floating) else dtype
    return cast(g, x, dtype), cast(g, y, dtype)


def _common_type(types: list[np.dtype]) -> np.dtype:
    # As MindSpore has it and numpy has not: float32 with int32 is float32.
    floating = [dtype for dtype in types if np.issubdtype(dtype, np.floating)]
    return np.result_type(*(floating or types))


def cast(g, x: Any, dtype: np.dtype) -> Any:
    """A tensor or number in an element type; unchanged if it has it."""
    if not isinstance(x, Value | np.ndarray):
        return np.array(x, dtype)
    return x if x.dtype == dtype else g.op("Cast", x, to=int(g.element_type(dtype)))


def in_result_type(g, x: Any) -> Any:
    """A tensor or number in the element type that MindIR declares for the result, the first of several."""
    declared = g.type[0] if isinstance(g.type, tuple) else g.type
    if isinstance(declared, TensorType):
        return cast(g, x, declared.dtype)
    return promote(g, x, x)[0]


def alike(g, *operands: Any) -> tuple[Any, ...]:
    """All operands as tensors of the element type that MindIR declares for the result."""
    if isinstance(g.type, TensorType):
        return tuple(cast(g, operand, g.type.dtype) for operand in operands)
    first = reduce(lambda x, y: promote(g, x, y)[0], operands)
    return tuple(cast(g, operand, first.dtype) for operand in operands)


def is_float(x: Any) -> bool:
    """Whether a tensor holds floating-point numbers."""
    return np.issubdtype(x.dtype, np.floating)


def register_unary(operators: dict[str, str]) -> None:
    """Handlers for primitives of one tensor, by ONNX operator; the operand takes the result's element type."""
    for primitive, operator in operators.items():
        _register_unary(primitive, operator)


def _register_unary(primitive: str, operator: str) -> None:
    def handler(g, x):
        return g.op(operator, in_result_type(g, x))
    handles(primitive)(handler)


def _register_binary(operator: str, primitives: tuple[str, ...]) -> None:
    def handler(g, x, y):
        return _compute(g, operator, x, y)
    handles(*primitives)(handler)


def _compute(g, operator: str, x: Any, y: Any) -> Any:
    x, y = alike(g, x, y)
    return g.op(OF_BOOLEANS.get(operator, operator) if x.dtype == bool else operator, x, y)


register_unary(UNARY)
for _operator, _primitives in BINARY.items():
    _register_binary(_operator, _primitives)


def _scaled(g, y: Any, alpha: Any) -> Any:
    is_one = isinstance(alpha, int | float) and alpha == 1
    return y if is_one else g.op("Mul", *alike(g, y, alpha))


@handles("AddExt", "AddScalar", "InplaceAddExt", "InplaceAddsExt")
def add_scaled(g, x, y, alpha: Const = 1):
    """x + alpha y"""
    return _compute(g, "Add", x, _scaled(g, y, alpha))


@handles("SubExt", "SubScalar", "InplaceSubExt", "InplaceSubScalar")
def subtract_scaled(g, x, y, alpha: Const = 1):
    """x - alpha y"""
    return _compute(g, "Sub", x, _scaled(g, y, alpha))


@handles("AddN", "AccumulateNV2")
def add_all(g, tensors):
    """The sum of a tuple of tensors; ONNX Runtime's Sum takes floating-point numbers only."""
    if len(tensors) > 1 and is_float(tensors[0]):
        return g.op("Sum", *tensors)
    return reduce(lambda x, y: g.op("Add", x, y), tensors)


@handles("FloorDiv", "FloorDivScalar", "InplaceFloorDivide", "InplaceFloorDivides")
def floor_divide(g, x, y):
    """floor(x / y), for floating-point operands; ONNX's Div truncates integers."""
    x, y = alike(g, x, y)
    if is_float(x):
        return g.op("Floor", g.op("Div", x, y))
    remainder = g.op("Mod", x, y)   # Has the sign of y, so that x - remainder divides exactly.
    return g.op("Div", g.op("Sub", x, remainder), y)


@handles("TruncateDiv")
def truncate_divide(g, x, y):
    """The quotient without its fraction."""
    return truncate(g, g.op("Div", *alike(g, x, y)))


@handles("DivMod", "DivMods", "InplaceDivMod", "InplaceDivMods")
def divide_and_round(g, x, y, rounding_mode: Const = None):
    """rounding_mode: None divides, 1 drops the fraction, 2 rounds towards minus infinity."""
    forms = {None: lambda g, x, y: g.op("Div", *alike(g, x, y)), 1: truncate_divide, 2: floor_divide}
    return forms[rounding_mode](g, x, y)


def truncate(g, x):
    """x without its fraction; integers as they are."""
    return g.op("Sub", x, g.op("Mod", x, g.like(1, x), fmod=1)) if is_float(x) else x


@handles(
    "RemainderTensorScalar", "RemainderTensorTensor", "RemainderScalarTensor", "InplaceRemainderTensorScalar",
    "InplaceRemainderTensorTensor", "FloorMod",
)
def remainder(g, x, y):
    """x - floor(x / y) y, which has the sign of y."""
    x, y = alike(g, x, y)
    if not is_float(x):
        return g.op("Mod", x, y)
    return g.op("Sub", x, g.op("Mul", g.op("Floor", g.op("Div", x, y)), y))


@handles("FmodTensor", "FmodScalar", "TruncateMod", "Mod")
def truncated_remainder(g, x, y):
    """x - trunc(x / y) y, which has the sign of x."""
    return g.op("Mod", *alike(g, x, y), fmod=1)


@handles("DivNoNan")
def divide_or_zero(g, x, y):
    """x / y, and 0 where y is 0; an integer must not be divided by 0 even where the quotient is not used."""
    x, y = alike(g, x, y)
    zero = g.like(0, x)
    is_zero = g.op("Equal", y, zero)
    divisor = y if is_float(y) else g.op("Where", is_zero, g.like(1, y), y)
    return g.op("Where", is_zero, zero, g.op("Div", x, divisor))


@handles("MulNoNan")
def multiply_or_zero(g, x, y):
    """x y, and 0 where y is 0, even if x is infinite or not a number."""
    x, y = alike(g, x, y)
    zero = g.like(0, x)
    return g.op("Where", g.op("Equal", y, zero), zero, g.op("Mul", x, y))


@handles("Xdivy")
def zero_or_divide(g, x, y):
    """x / y, and 0 where x is 0, even if y is 0."""
    x, y = alike(g, x, y)
    zero = g.like(0, x)
    return g.op("Where", g.op("Equal", x, zero), zero, g.op("Div", x, y))


@handles("Rsqrt")
def reciprocal_sqrt(g, x):
    return g.op("Reciprocal", g.op("Sqrt", in_result_type(g, x)))


@handles("Square")
def square(g, x):
    return g.op("Mul", x, x)


@handles("SquaredDifference")
def squared_difference(g, x, y):
    return square(g, g.op("Sub", *alike(g, x, y)))


@handles("Hypot")
def hypotenuse(g, x, y):
    """sqrt(x^2 + y^2)"""
    x, y = alike(g, x, y)
    return g.op("Sqrt", g.op("Add", square(g, x), square(g, y)))


@handles("Addcmul", "AddcmulExt")
def add_product(g, x, left, right, value=1):
    """x + value left right"""
    x, left, right = alike(g, x, left, right)
    return add_scaled(g, x, g.op("Mul", left, right), value)


@handles("Addcdiv", "AddcdivExt")
def add_quotient(g, x, left, right, value=1):
    """x + value left / right"""
    x, left, right = alike(g, x, left, right)
    return add_scaled(g, x, g.op("Div", left, right), value)


@handles("Lerp", "LerpScalar")
def interpolate(g, x, end, weight):
    """x + weight (end - x)"""
    x, end, weight = alike(g, x, end, weight)
    return g.op("Add", x, g.op("Mul", weight, g.op("Sub", end, x)))


@handles("Heaviside")
def heaviside(g, x, at_zero):
    """0 below zero, 1 above it, and `at_zero` at it."""
    x, at_zero = alike(g, x, at_zero)
    zero = g.like(0, x)
    step = cast(g, g.op("Greater", x, zero), x.dtype)
    return g.op("Where", g.op("Equal", x, zero), at_zero, step)


@handles("ClampScalar", "ClampTensor", "InplaceClampScalar", "InplaceClampTensor")
def clamp(g, x, low=None, high=None):
    """x between two bounds, each a number, a tensor or None for open; `high` where they cross."""
    x = in_result_type(g, x)
    low, high = (None if bound is None else in_result_type(g, bound) for bound in (low, high))
    if all(bound is None or bound.shape == () for bound in (low, high)):
        return g.op("Clip", x, low, high)
    x = x if low is None else g.op("Max", x, low)
    return x if high is None else g.op("Min", x, high)


