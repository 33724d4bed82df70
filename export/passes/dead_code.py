"""Operators and constants that no output needs."""

from msnoah.export.onnx_graph import OnnxGraph


def remove_dead_code(graph: OnnxGraph) -> bool:
    """Removes, from the end, each operator without a used output, then each constant without a user."""
    before = len(graph.operators) + len(graph.constants)
    for operator in reversed(graph.operators.copy()):
        if not any(graph.users(name) or name in graph.outputs for name in operator.outputs):
            graph.remove(operator)
    for name in list(graph.constants):
        if not graph.users(name):
            del graph.constants[name]
    return len(graph.operators) + len(graph.constants) != before
