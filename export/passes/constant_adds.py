"""Two constants added one after the other."""

from msnoah.export.onnx_graph import OnnxGraph, Operator


def merge_constant_adds(graph: OnnxGraph) -> bool:
    """(x + b) + c -> x + (b + c), if x + b has no other user and b + c has no more elements than the larger of the
    two."""
    changed = False
    for operator in graph.operators:
        outer = split_constant(graph, operator)
        inner_operator = graph.producer(outer[0]) if outer else None
        inner = split_constant(graph, inner_operator) if inner_operator and graph.only_user(outer[0]) else None
        if inner is None:
            continue
        x, b, c = inner[0], graph.constants[inner[1]], graph.constants[outer[1]]
        total = b + c
        if total.size > max(b.size, c.size):
            continue
        graph.rewrite(operator, "Add", [x, graph.add_constant(f"{inner[1]}.merged", total)], {})
        changed = True
    return changed


def split_constant(graph: OnnxGraph, operator: Operator, op_type: str = "Add") -> tuple[str, str] | None:
    """(run-time operand, constant operand) of a commutative operator, if it has one of each."""
    if operator.op_type != op_type:
        return None
    first, second = operator.inputs
    if second in graph.constants and first not in graph.constants:
        return first, second
    return (second, first) if first in graph.constants and second not in graph.constants else None
