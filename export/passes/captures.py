"""What the bodies of If and Loop read from outside."""

from msnoah.export.onnx_graph import OnnxGraph, Operator

SMALL = 1024
"""Elements; smaller constants stay in the body, where ONNX looks for shapes and axes."""


def hoist_constants(graph: OnnxGraph) -> bool:
    """Keeps the large constants of bodies in the graph around them, where bodies share one."""
    changed = False
    for operator in graph.operators:
        for body in operator.bodies:
            for name, array in list(body.constants.items()):
                if array.size > SMALL:
                    del body.constants[name]
                    graph.hold_constant(name, array)
                    _add_capture(graph, operator, name)
                    changed = True
    return changed


def drop_unused_captures(graph: OnnxGraph) -> bool:
    """Removes the values that no body of an operator reads from what the operator reads."""
    changed = False
    for operator in graph.operators:
        for name in list(operator.bodies[0].captures) if operator.bodies else ():
            if not any(body.users(name) for body in operator.bodies):
                _drop_capture(graph, operator, name)
                changed = True
    return changed


def _add_capture(graph: OnnxGraph, operator: Operator, name: str) -> None:
    for body in operator.bodies:
        body.types[name] = graph.types[name]
        body.captures.append(name)
    graph.rewrite(operator, operator.op_type, [*operator.inputs, name], operator.attributes)


def _drop_capture(graph: OnnxGraph, operator: Operator, inside: str) -> None:
    captures = operator.bodies[0].captures
    place = len(operator.inputs) - len(captures) + captures.index(inside)
    graph.rewrite(
        operator, operator.op_type, [*operator.inputs[:place], *operator.inputs[place + 1:]], operator.attributes)
    for body in operator.bodies:
        body.captures.remove(inside)
