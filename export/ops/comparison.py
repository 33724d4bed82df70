"""Comparisons, logic, and choosing by a condition."""

import numpy as np

from msnoah.export.ops.arithmetic import alike, cast, is_float, promote
from msnoah.export.ops.table import Const, handles

BINARY = {
    "Equal": ("Equal", "EqScalar"), "Greater": ("Greater",), "Less": ("Less", "LessScalar"),
    "GreaterOrEqual": ("GreaterEqual", "GreaterEqualScalar"), "LessOrEqual": ("LessEqual",),
}
"""MindIR spellings by ONNX operator, for two operands of one element type."""

LOGIC = {"And": "LogicalAnd", "Or": "LogicalOr", "Xor": "LogicalXor"}
"""MindIR primitive by ONNX operator; numbers count as true unless they are 0."""


def _register_comparison(operator: str, primitives: tuple[str, ...]) -> None:
    def handler(g, x, y):
        return _compare(g, operator, x, y)
    handles(*primitives)(handler)


def _register_logic(operator: str, primitive: str) -> None:
    def handler(g, x, y):
        return g.op(operator, cast(g, x, np.dtype(bool)), cast(g, y, np.dtype(bool)))
    handles(primitive)(handler)


def _compare(g, operator: str, x, y):
    x, y = promote(g, x, y)
    if x.dtype == bool and operator != "Equal":   # ONNX orders numbers only.
        x, y = cast(g, x, np.dtype(np.int32)), cast(g, y, np.dtype(np.int32))
    return g.op(operator, x, y)


for _operator, _primitives in BINARY.items():
    _register_comparison(_operator, _primitives)
for _operator, _primitive in LOGIC.items():
    _register_logic(_operator, _primitive)


@handles("NotEqual")
def not_equal(g, x, y):
    return g.op("Not", _compare(g, "Equal", x, y))


@handles("LogicalNot")
def logical_not(g, x):
    return g.op("Not", cast(g, x, np.dtype(bool)))


@handles("EqualExt")
def same_tensor(g, x, y):
    """Whether two tensors have one shape and equal elements: (1,) bool."""
    if x.shape != y.shape:
        return np.array([False])
    equal = cast(g, g.op("Reshape", _compare(g, "Equal", x, y), g.ints(-1)), np.dtype(np.int32))
    return cast(g, g.op("ReduceMin", equal, keepdims=1), np.dtype(bool))


@handles("ApproximateEqual")
def nearly_equal(g, x, y, *, tolerance: Const = 1e-5):
    """|x - y| < tolerance"""
    x, y = promote(g, x, y)
    return g.op("Less", g.op("Abs", g.op("Sub", x, y)), g.like(tolerance, x))


@handles("IsClose")
def is_close(g, x, y, rtol: Const = 1e-5, atol: Const = 1e-8, equal_nan: Const = False):
    """|x - y| <= atol + rtol |y|, or x and y the same infinity, or both not a number if equal_nan is set."""
    x, y = (_floating(g, operand) for operand in promote(g, x, y))
    bound = g.op("Add", g.op("Mul", g.op("Abs", y), g.like(rtol, y)), g.like(atol, y))
    bound = g.op("Min", bound, g.like(np.finfo(y.dtype).max, y))   # Nothing finite is close to infinity.
    near = g.op("LessOrEqual", g.op("Abs", g.op("Sub", x, y)), bound)
    near = g.op("Or", near, g.op("Equal", x, y))
    return g.op("Or", near, g.op("And", g.op("IsNaN", x), g.op("IsNaN", y))) if equal_nan else near


def _floating(g, x):
    # float16 becomes float32 too: older operator sets test it for infinity in no other way.
    return x if x.dtype == np.float64 else cast(g, x, np.dtype(np.float32))


@handles("IsNan")
def is_nan(g, x):
    return g.op("IsNaN", _floating(g, x))


@handles("IsInf")
def is_infinite(g, x):
    return g.op("IsInf", _floating(g, x))


@handles("IsNegInf")
def is_minus_infinity(g, x):
    return g.op("IsInf", _floating(g, x), detect_positive=0)


@handles("IsFinite")
def is_finite(g, x):
    """|x| < infinity, which is false for what is not a number."""
    x = _floating(g, x)
    return g.op("Less", g.op("Abs", x), g.like(np.inf, x))


@handles("Select", "SelectV2")
def select(g, condition, x, y):
    """x where the condition holds, y elsewhere; ONNX Runtime's Where takes no truth values."""
    x, y = alike(g, x, y)
    condition = cast(g, condition, np.dtype(bool))
    if x.dtype != bool:
        return g.op("Where", condition, x, y)
    return g.op("Or", g.op("And", condition, x), g.op("And", g.op("Not", condition), y))


@handles("MaskedFill", "MaskedFillScalar", "InplaceMaskedFillScalar", "InplaceMaskedFillTensor")
def masked_fill(g, x, mask, value):
    """`value` where the mask holds, x elsewhere."""
    return select(g, mask, value, x)


@handles("Fmax")
def larger_number(g, x, y):
    """The larger of two; where one is not a number, the other."""
    return _ignore_nan(g, "Max", *alike(g, x, y))


@handles("Fmin")
def smaller_number(g, x, y):
    """The smaller of two; where one is not a number, the other."""
    return _ignore_nan(g, "Min", *alike(g, x, y))


def _ignore_nan(g, operator: str, x, y):
    if not is_float(x):
        return g.op(operator, x, y)
    either = g.op("Where", g.op("IsNaN", x), y, g.op(operator, x, y))
    return g.op("Where", g.op("IsNaN", y), x, either)


@handles("NanToNum")
def replace_not_finite(g, x, nan: Const = None, posinf: Const = None, neginf: Const = None):
    """Not-a-number becomes `nan` (0), the infinities `posinf` and `neginf` (the largest and smallest finite number)."""
    if not is_float(x):
        return x
    lowest, largest = np.finfo(x.dtype).min, np.finfo(x.dtype).max
    y = x
    for number, place in ((posinf, np.inf), (neginf, -np.inf)):
        y = y if number is None else g.op("Where", g.op("Equal", x, g.like(place, x)), g.like(number, x), y)
    y = g.op("Where", g.op("IsNaN", x), g.like(nan or 0, x), y)
    return y if None not in (posinf, neginf) else g.op("Clip", y, g.like(lowest, x), g.like(largest, x))
