"""Transposes of transposes."""

from msnoah.export.onnx_graph import OnnxGraph


def merge_transposes(graph: OnnxGraph) -> bool:
    """Transpose(Transpose(x, p), q) -> Transpose(x, r) with r[i] = p[q[i]]: axis i of the result is axis q[i] of
    the inner one."""
    changed = False
    for operator in graph.operators:
        inner = graph.producer(operator.inputs[0]) if operator.op_type == "Transpose" else None
        if inner is None or inner.op_type != "Transpose":
            continue
        perm = [inner.attributes["perm"][axis] for axis in operator.attributes["perm"]]
        graph.rewrite(operator, "Transpose", [inner.inputs[0]], {"perm": perm})
        changed = True
    return changed
