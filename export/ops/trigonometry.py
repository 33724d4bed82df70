"""Trigonometric and hyperbolic functions, element by element, in radians."""

import math

import numpy as np

from msnoah.export.ops.arithmetic import alike, in_result_type, register_unary
from msnoah.export.ops.table import handles

UNARY = {
    "Sin": "Sin", "Cos": "Cos", "Tan": "Tan", "Sinh": "Sinh", "Cosh": "Cosh",
    "Asin": "Asin", "AsinExt": "Asin", "ACos": "Acos", "AcosExt": "Acos", "Atan": "Atan", "AtanExt": "Atan",
    "Asinh": "Asinh", "AsinhExt": "Asinh", "Acosh": "Acosh", "AcoshExt": "Acosh", "Atanh": "Atanh",
}
"""MindIR primitives that have an ONNX operator of the same meaning."""

register_unary(UNARY)


@handles("Atan2", "Atan2Ext")
def angle_of_point(g, y, x):
    """The angle of the point (x, y), from -pi to pi; 0 at the origin."""
    y, x = alike(g, y, x)
    zero, pi, half_pi = (g.like(number, x) for number in (0, math.pi, math.pi / 2))
    angle = g.op("Atan", g.op("Div", y, x))   # Right for x > 0; the left half-plane lies half a turn away.
    half_turn = g.op("Where", g.op("Less", y, zero), np.negative(pi), pi)
    angle = g.op("Where", g.op("Less", x, zero), g.op("Add", angle, half_turn), angle)
    return g.op("Where", g.op("Equal", x, zero), g.op("Mul", g.op("Sign", y), half_pi), angle)


@handles("Sinc")
def sinc(g, x):
    """sin(pi x) / (pi x), and 1 at 0."""
    x = in_result_type(g, x)
    scaled = g.op("Mul", x, g.like(math.pi, x))
    at_zero = g.op("Equal", x, g.like(0, x))
    return g.op("Where", at_zero, g.like(1, x), g.op("Div", g.op("Sin", scaled), scaled))
