"""Transposes of transposes, and those that are reshapes."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph


def merge_transposes(graph: OnnxGraph) -> bool:
    """Merges Transpose(Transpose(x, p), q) into Transpose(x, r) with r[i] = p[q[i]]: axis i of the result is axis q[i]
    of the inner one."""
    changed = False
    for operator in graph.operators:
        inner = graph.producer(operator.inputs[0]) if operator.op_type == "Transpose" else None
        if inner is None or inner.op_type != "Transpose":
            continue
        perm = [inner.attributes["perm"][axis] for axis in operator.attributes["perm"]]
        graph.rewrite(operator, "Transpose", [inner.inputs[0]], {"perm": perm})
        changed = True
    return changed


def reshape_instead(graph: OnnxGraph) -> bool:
    """Writes a Transpose that moves only axes of size 1, which leaves the elements in order, as a Reshape."""
    changed = False
    for operator in graph.operators:
        if operator.op_type != "Transpose":
            continue
        before, perm = graph.shape(operator.inputs[0]), operator.attributes["perm"]
        moved = [axis for axis in perm if before[axis] != 1]
        if moved != sorted(moved) or 0 in before or list(perm) == sorted(perm):
            continue
        shape = graph.add_constant(f"{operator.name}.shape", np.array(graph.shape(operator.outputs[0]), np.int64))
        graph.rewrite(operator, "Reshape", [operator.inputs[0], shape], {})
        changed = True
    return changed
