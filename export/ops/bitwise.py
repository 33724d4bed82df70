"""Bitwise logic and shifts of integers. Truth values are one bit: And, Or, Xor and Not of ONNX."""

import numpy as np

from msnoah.export.ops.arithmetic import alike, cast
from msnoah.export.ops.table import handles

BINARY = {
    "And": ("BitwiseAnd", "BitwiseAndTensor", "BitwiseAndScalar"),
    "Or": ("BitwiseOr", "BitwiseOrTensor", "BitwiseOrScalar"),
    "Xor": ("BitwiseXor", "BitwiseXorTensor", "BitwiseXorScalar"),
}
"""MindIR spellings by ONNX operator of truth values; that of integers is called BitwiseAnd, ... and came with 18."""


def _register(operator: str, primitives: tuple[str, ...]) -> None:
    def handler(g, x, y):
        x, y = alike(g, x, y)
        return g.op(operator if x.dtype == bool else f"Bitwise{operator}", x, y)
    handles(*primitives)(handler)


for _operator, _primitives in BINARY.items():
    _register(_operator, _primitives)


@handles("BitwiseNot", "Invert")
def invert(g, x):
    """All bits flipped: -1 - x, or the largest number minus x if there is no sign."""
    if x.dtype == bool:
        return g.op("Not", x)
    return g.op("Sub", np.invert(np.zeros((), x.dtype)), x)


@handles("LeftShift")
def shift_left(g, x, y):
    """x 2^y, as the bits that the element type holds."""
    return _shift(g, *alike(g, x, y), "LEFT")


@handles("RightShift")
def shift_right(g, x, y):
    """floor(x / 2^y); a negative number is shifted as its complement."""
    x, y = alike(g, x, y)
    if np.issubdtype(x.dtype, np.unsignedinteger):
        return _shift(g, x, y, "RIGHT")
    is_negative = g.op("Less", x, g.like(0, x))
    shifted = _shift(g, g.op("Where", is_negative, invert(g, x), x), y, "RIGHT")
    return g.op("Where", is_negative, invert(g, shifted), shifted)


def _shift(g, x, y, direction: str):
    # ONNX shifts unsigned numbers, ONNX Runtime those of 8, 32 and 64 bits.
    unsigned = np.dtype({1: np.uint8, 8: np.uint64}.get(x.dtype.itemsize, np.uint32))
    shifted = g.op("BitShift", cast(g, x, unsigned), cast(g, y, unsigned), direction=direction)
    return cast(g, shifted, x.dtype)
