"""Exact GELU, however it is written."""

import math

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant


def merge_gelus(graph: OnnxGraph) -> bool:
    """x (1 + erf(x / sqrt 2)) / 2, with its factors in any order, as one operator where there is one (operator set 20
    and newer).

    Below that the arithmetic stays as it is: ONNX Runtime recognises it.
    """
    if graph.opset < 20:
        return False
    return any([_merge(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Erf"])


def ends_gelu(graph: OnnxGraph, x: str) -> bool:
    """Whether a value is a GELU but for its last factor, 1/2."""
    factors = [graph.producer(name) for name in getattr(graph.producer(x), "inputs", ())]
    sums = [factor for factor in factors if factor and factor.op_type == "Add"]
    parts = [graph.producer(name) for operator in sums for name in operator.inputs]
    return any(part and part.op_type in ("Erf", "Tanh") for part in parts)


def _merge(graph: OnnxGraph, error: Operator) -> bool:
    x = _divided_by_sqrt_2(graph, graph.producer(error.inputs[0]))
    addition = graph.only_user(error.outputs[0])
    if x is None or addition is None or _constant_beside(graph, addition, "Add", error.outputs[0]) != 1:
        return False
    last = _last_product(graph, addition.outputs[0], x)
    if last is None:
        return False
    graph.rewrite(last, "Gelu", [x], {})
    return True


def _divided_by_sqrt_2(graph: OnnxGraph, operator: Operator | None) -> str | None:
    if operator is None or operator.op_type not in ("Div", "Mul"):
        return None
    expected = math.sqrt(2) if operator.op_type == "Div" else math.sqrt(0.5)
    constant = _constant_beside(graph, operator, operator.op_type, operator.inputs[0])
    return operator.inputs[0] if constant is not None and math.isclose(constant, expected, rel_tol=1e-6) else None


def _last_product(graph: OnnxGraph, factor: str, x: str) -> Operator | None:
    """The operator that gives `factor * x * 0.5`, if `factor` goes nowhere else."""
    first = graph.only_user(factor)
    if first is None or first.op_type != "Mul":
        return None
    other = first.inputs[1 - first.inputs.index(factor)]
    half_x = graph.producer(other)
    if half_x is not None and half_x.op_type == "Mul" and _constant_beside(graph, half_x, "Mul", x) == 0.5:
        return first
    second = graph.only_user(first.outputs[0])
    if second is None or second.op_type != "Mul":
        return None
    if other == x:
        return second if _constant_beside(graph, second, "Mul", first.outputs[0]) == 0.5 else None
    return second if _constant_beside(graph, first, "Mul", factor) == 0.5 and x in second.inputs else None


def _constant_beside(graph: OnnxGraph, operator: Operator, op_type: str, name: str) -> float | None:
    """The number that an operator combines with a value; None for a tensor, another operator, or another value."""
    operands = split_constant(graph, operator, op_type)
    if operands is None or operands[0] != name or graph.constants[operands[1]].size != 1:
        return None
    return float(np.ravel(graph.constants[operands[1]])[0])
