"""Operators written with older ones, for operator sets that have not got them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.graph import Value
from msnoah.export.opsets import NEWEST_OPSET, takes

LOWERINGS: dict[str, tuple[int, Callable]] = {}
"""By operator: the operator set that it came with, and what writes it for older ones."""

NEVER = NEWEST_OPSET + 1
"""For an operator that came lately, but whose shape ONNX infers in no set."""

WIDENED = {"Add", "Sub", "Mul", "Div", "Relu", "CumSum"}
"""What older sets compute in fewer element types: casting to a wider one and back gives the same numbers."""


def lowers(operator: str, since: int) -> Callable:
    """Registers a function (g, *inputs, **attributes) that writes an operator for sets older than `since`."""
    def register(function: Callable) -> Callable:
        LOWERINGS[operator] = since, function
        return function
    return register


def find_lowering(operator: str, inputs: Sequence[Any], opset: int) -> Callable | None:
    """What writes an operator that a set has not, or not for these inputs; None if the set has it."""
    since, lowering = LOWERINGS.get(operator, (0, None))
    if opset < since:
        return lowering
    if operator in WIDENED and inputs and not takes(operator, opset, inputs[0].dtype):
        return lambda g, *operands, **attributes: _widen(g, operator, operands, attributes)
    return None


def _widen(g, operator: str, operands: Sequence[Any], attributes: dict[str, Any]):
    dtype = operands[0].dtype
    if operator == "Relu":
        operator, operands = "Max", (operands[0], g.like(0, operands[0]))
    wide = dtype if takes(operator, g.opset, dtype) else np.dtype(np.float32 if dtype.kind == "f" else np.int32)
    widened = 1 if operator == "CumSum" else len(operands)      # The second input of CumSum is an axis.
    operands = [_cast(g, x, wide) for x in operands[:widened]] + list(operands[widened:])
    return _cast(g, g.op(operator, *operands, **attributes), dtype)


def _cast(g, x, dtype: np.dtype):
    return x if x.dtype == dtype else g.op("Cast", x, to=int(g.element_type(dtype)))


@lowers("LayerNormalization", 17)
def layer_normalization(g, x, scale, bias=None, *, axis: int = -1, epsilon: float = 1e-5):
    """(x - mean x) / sqrt(mean (x - mean x)^2 + epsilon) * scale + bias, in the order that ONNX Runtime recognises."""
    axes = list(range(axis % len(x.shape), len(x.shape)))
    centred = g.op("Sub", x, g.op("ReduceMean", x, axes=axes, keepdims=1))
    variance = g.op("ReduceMean", g.op("Pow", centred, g.like(2, x)), axes=axes, keepdims=1)
    y = g.op("Mul", g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.like(epsilon, x)))), scale)
    return y if bias is None else g.op("Add", y, bias)


@lowers("Gelu", 20)
def gelu(g, x, *, approximate: str = "none"):
    """In the order of operators that ONNX Runtime recognises and runs as one kernel."""
    if approximate == "none":
        error = g.op("Erf", g.op("Div", x, g.like(np.sqrt(2), x)))
        return g.op("Mul", g.op("Mul", x, g.op("Add", error, g.like(1, x))), g.like(0.5, x))
    cube = g.op("Mul", g.op("Pow", x, g.like(3, x)), g.like(0.044715, x))
    inner = g.op("Tanh", g.op("Mul", g.op("Add", x, cube), g.like(np.sqrt(2 / np.pi), x)))
    return g.op("Mul", g.op("Mul", x, g.like(0.5, x)), g.op("Add", inner, g.like(1, x)))


@lowers("Mish", 18)
def mish(g, x):
    """x tanh(log(1 + exp x))"""
    return g.op("Mul", x, g.op("Tanh", g.op("Softplus", x)))


@lowers("HardSwish", 14)
def hard_swish(g, x):
    """x clip(x / 6 + 1/2, 0, 1)"""
    return g.op("Mul", x, g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))


@lowers("GroupNormalization", NEVER)
def group_normalization(g, x, scale, bias, *, num_groups: int, epsilon: float = 1e-5):
    """(B, C, ...): each group of channels to mean 0 and variance 1, then scale (C,) and bias (C,)."""
    grouped = g.op("Reshape", x, g.ints(x.shape[0], num_groups, -1))    # (B, C, ...) -> (B, G, C / G ...)
    ones, zeros = np.ones(num_groups, x.dtype), np.zeros(num_groups, x.dtype)
    y = g.op("Reshape", g.op("InstanceNormalization", grouped, ones, zeros, epsilon=epsilon), g.ints(*x.shape))
    shape = g.ints(x.shape[1], *[1] * (len(x.shape) - 2))
    return g.op("Add", g.op("Mul", y, g.op("Reshape", scale, shape)), g.op("Reshape", bias, shape))


@lowers("RMSNormalization", 23)
def rms_normalization(g, x, scale, *, axis: int = -1, epsilon: float = 1e-5):
    """x / sqrt(mean x^2 + epsilon) * scale"""
    axes = list(range(axis % len(x.shape), len(x.shape)))
    square = g.op("ReduceMean", g.op("Pow", x, g.like(2, x)), axes=axes, keepdims=1)
    return g.op("Mul", g.op("Div", x, g.op("Sqrt", g.op("Add", square, g.like(epsilon, x)))), scale)


@lowers("CastLike", 15)
def cast_like(g, x, target):
    """x in the element type of another tensor."""
    return _cast(g, x, target.dtype)


@lowers("Trilu", 14)
def trilu(g, x, k=0, *, upper: int = 1):
    """The upper (or lower) triangle of the last two axes, zeros elsewhere."""
    if isinstance(k, Value):
        raise ConversionError("Trilu with a diagonal that is computed at run time needs opset 14")
    ones = np.ones(x.shape[-2:], bool)
    mask = np.triu(ones, int(k)) if upper else np.tril(ones, int(k))
    return g.op("Where", mask, x, g.like(0, x))


@lowers("GreaterOrEqual", 16)
def greater_or_equal(g, x, y):
    """Operator sets before 16 have it, but ONNX infers no shape for it there."""
    return g.op("Or", g.op("Greater", x, y), g.op("Equal", x, y))


@lowers("LessOrEqual", 16)
def less_or_equal(g, x, y):
    """As `greater_or_equal`."""
    return g.op("Or", g.op("Less", x, y), g.op("Equal", x, y))
