"""Exponentials, logarithms and the error function, element by element."""

import math

from msnoah.export.ops.arithmetic import alike, in_result_type, register_unary
from msnoah.export.ops.table import Const, handles

UNARY = {"Exp": "Exp", "InplaceExp": "Exp", "Log": "Log", "InplaceLog": "Log", "Erf": "Erf"}
"""MindIR primitives that have an ONNX operator of the same meaning."""

register_unary(UNARY)


@handles("Exp2")
def power_of_two(g, x):
    x = in_result_type(g, x)
    return g.op("Pow", g.like(2, x), x)


@handles("Expm1")
def exp_minus_one(g, x):
    """exp(x) - 1 as 2 exp(x / 2) sinh(x / 2), which keeps its digits near 0."""
    x = in_result_type(g, x)
    half = g.op("Mul", x, g.like(0.5, x))
    return g.op("Mul", g.op("Mul", g.op("Exp", half), g.op("Sinh", half)), g.like(2, x))


@handles("Log1p")
def log_of_one_plus(g, x):
    """log(1 + x) as asinh((x + x / (1 + x)) / 2), which keeps its digits near 0."""
    x = in_result_type(g, x)
    twice = g.op("Add", x, g.op("Div", x, g.op("Add", x, g.like(1, x))))
    return g.op("Asinh", g.op("Mul", twice, g.like(0.5, x)))


def _log(g, x, base: int):
    x = in_result_type(g, x)
    return g.op("Mul", g.op("Log", x), g.like(1 / math.log(base), x))


@handles("Log2")
def log_to_base_two(g, x):
    return _log(g, x, 2)


@handles("Log10")
def log_to_base_ten(g, x):
    return _log(g, x, 10)


@handles("Xlogy", "XLogYScalarSelf", "XLogYScalarOther")
def times_log(g, x, y):
    """x log(y), and 0 where x is 0, even if y is 0."""
    x, y = alike(g, x, y)
    zero = g.like(0, x)
    return g.op("Where", g.op("Equal", x, zero), zero, g.op("Mul", x, g.op("Log", y)))


def log_add_exp(g, x, y):
    """log(exp x + exp y), without overflow."""
    apart = g.op("Neg", g.op("Abs", g.op("Sub", x, y)))
    return g.op("Add", g.op("Max", x, y), g.op("Softplus", apart))


@handles("LogAddExp")
def log_add_exp_of(g, x, y):
    return log_add_exp(g, *alike(g, x, y))


@handles("LogAddExp2")
def log_add_exp_to_base_two(g, x, y):
    """log2(2^x + 2^y)"""
    x, y = alike(g, x, y)
    x, y = (g.op("Mul", operand, g.like(math.log(2), operand)) for operand in (x, y))
    return g.op("Mul", log_add_exp(g, x, y), g.like(1 / math.log(2), x))


@handles("Erfc")
def complementary_error(g, x):
    x = in_result_type(g, x)
    return g.op("Sub", g.like(1, x), g.op("Erf", x))


@handles("Logit")
def logit(g, x, eps: Const = -1.0):
    """log(x / (1 - x)), with x between eps and 1 - eps unless eps is negative."""
    x = in_result_type(g, x)
    x = x if eps is None or eps < 0 else g.op("Clip", x, g.like(eps, x), g.like(1 - eps, x))
    return g.op("Log", g.op("Div", x, g.op("Sub", g.like(1, x), x)))
