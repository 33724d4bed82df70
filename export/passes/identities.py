"""Operators that return their input."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator

NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1, "Pow": 1}
"""The second operand that changes nothing."""

ALWAYS = {"Identity", "Dropout"}

IF_SAME_SHAPE = {
    "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Tile", "Cast", "Concat", "Split", "Sum", "Mean", "Max",
    "Min",
}
"""What changes nothing if it has one run-time input, and element type and shape stay."""


def remove_identities(graph: OnnxGraph) -> bool:
    """Removes what returns its input: Identity, Dropout, a Reshape, Expand or Cast to what its input is, a Transpose in
    order, a Slice of all, a Pad by nothing, a Concat or Split of one, x + 0, x - 0, x * 1, x / 1, x ** 1."""
    changed = False
    for operator in graph.operators.copy():
        changed = _returns_first_input(graph, operator) and graph.bypass(operator, operator.inputs[0]) or changed
    return changed


def _returns_first_input(graph: OnnxGraph, operator: Operator) -> bool:
    if not operator.inputs or any(graph.users(name) or name in graph.outputs for name in operator.outputs[1:]):
        return False
    kind = operator.op_type
    if kind in ALWAYS:
        return _is_inference(graph, operator)
    if graph.types.get(operator.inputs[0]) != graph.types[operator.outputs[0]]:
        return False
    if kind == "Transpose":
        return list(operator.attributes["perm"]) == sorted(operator.attributes["perm"])
    if kind in NEUTRAL:
        constant = graph.constants.get(operator.inputs[1])
        return constant is not None and bool(np.all(constant == NEUTRAL[kind]))
    if kind == "Slice":
        steps = graph.constants.get(operator.inputs[4]) if len(operator.inputs) > 4 else np.ones(1)
        return steps is not None and bool(np.all(steps == 1))
    if kind == "Pad":
        pads = graph.constants.get(operator.inputs[1])
        return pads is not None and not np.any(pads)    # Equal shapes can come of padding here and cutting there.
    others = operator.inputs[1:] if kind in ("Concat", "Sum", "Mean", "Max", "Min") else ()
    return kind in IF_SAME_SHAPE and not others


def _is_inference(graph: OnnxGraph, operator: Operator) -> bool:
    training = operator.inputs[2] if operator.op_type == "Dropout" and len(operator.inputs) > 2 else ""
    return not training or training in graph.constants and not graph.constants[training]
