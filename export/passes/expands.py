"""Expansions that broadcasting does anyway."""

from msnoah.export.onnx_graph import OnnxGraph, Operator

BROADCASTING = {"Add", "Sub", "Mul", "Div", "Where", "Pow", "Max", "Min"}


def remove_expands(graph: OnnxGraph) -> bool:
    """f(Expand(x), y) -> f(x, y), where f broadcasts x against y to the same shape."""
    changed = False
    for operator in graph.operators:
        if operator.op_type in BROADCASTING:
            changed = any([_remove(graph, operator, index) for index in range(len(operator.inputs))]) or changed
    return changed


def _remove(graph: OnnxGraph, operator: Operator, index: int) -> bool:
    expand = graph.producer(operator.inputs[index])
    if expand is None or expand.op_type != "Expand":
        return False
    others = [graph.shape(name) for i, name in enumerate(operator.inputs) if i != index]
    if graph.shape(operator.outputs[0]) not in others:
        return False
    graph.set_input(operator, index, expand.inputs[0])
    return True
