"""HardSigmoid from its parts."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant


def merge_hard_sigmoids(graph: OnnxGraph) -> bool:
    """Writes clip(x + b, 0, m) / m as HardSigmoid: clip(x / m + b / m, 0, 1)."""
    return any([_merge(graph, operator) for operator in graph.operators.copy() if operator.op_type in ("Div", "Mul")])


def _merge(graph: OnnxGraph, last: Operator) -> bool:
    x, factor = _read_factor(graph, last)
    clip = graph.producer(x) if x else None
    if clip is None or clip.op_type != "Clip" or graph.only_user(x) is None or graph.types[x].dtype != np.float32:
        return False
    low, high = (_number(graph, name) for name in (*clip.inputs[1:], "", "")[:2])
    if low != 0 or high is None or not np.isclose(high * factor, 1, rtol=1e-7, atol=0):
        return False
    source, beta = clip.inputs[0], 0.0
    addition = graph.producer(source)
    operands = split_constant(graph, addition) if addition is not None else None
    if operands and graph.only_user(source) and _number(graph, operands[1]) is not None and (
            graph.shape(operands[0]) == graph.shape(source)):
        source, beta = operands[0], _number(graph, operands[1]) * factor
    graph.rewrite(last, "HardSigmoid", [source], {"alpha": factor, "beta": beta})
    return True


def _read_factor(graph: OnnxGraph, operator: Operator) -> tuple[str, float]:
    """The value that is multiplied by a number, or divided by one, and the factor that this is; "" for neither."""
    x, other = operator.inputs
    if operator.op_type == "Mul" and x in graph.constants:
        x, other = other, x
    number = _number(graph, other)
    if number in (None, 0.0) or x in graph.constants:
        return "", 0.0
    return x, number if operator.op_type == "Mul" else 1 / number


def _number(graph: OnnxGraph, name: str) -> float | None:
    array = graph.constants.get(name)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None
