"""Operators that return their input."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator


def remove_identities(graph: OnnxGraph) -> bool:
    """Removes Identity, a Reshape or Expand to the same shape, a Transpose in order, a Cast to the same type, x +
    0, x - 0, x * 1, x / 1."""
    changed = False
    for operator in graph.operators.copy():
        changed = _returns_first_input(graph, operator) and graph.bypass(operator, operator.inputs[0]) or changed
    return changed


def _returns_first_input(graph: OnnxGraph, operator: Operator) -> bool:
    if operator.op_type == "Identity":
        return True
    if operator.op_type not in (*NEUTRAL, "Reshape", "Expand", "Transpose", "Cast", "Concat"):
        return False
    if graph.types[operator.inputs[0]] != graph.types[operator.outputs[0]]:
        return False
    if operator.op_type == "Transpose":
        return list(operator.attributes["perm"]) == sorted(operator.attributes["perm"])
    if operator.op_type in NEUTRAL:
        constant = graph.constants.get(operator.inputs[1])
        return constant is not None and bool(np.all(constant == NEUTRAL[operator.op_type]))
    return operator.op_type != "Concat" or len(operator.inputs) == 1


NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}
"""The second operand that changes nothing."""
