"""Chains of operators that only change the shape."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph

SHAPE_ONLY = {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}
"""Operators that keep the elements in order."""


def merge_reshapes(graph: OnnxGraph) -> bool:
    """Reshape(f(x), s) -> Reshape(x, s), where f keeps the elements in order: a reshape depends on nothing but that
    order."""
    changed = False
    for operator in graph.operators:
        if operator.op_type not in SHAPE_ONLY:
            continue
        inner = graph.producer(operator.inputs[0])
        if inner is None or inner.op_type not in SHAPE_ONLY:
            continue
        shape = np.array(graph.shape(operator.outputs[0]), np.int64)
        if not shape.size or 0 in shape:
            continue
        target = graph.add_constant(f"{operator.name}.shape", shape)
        graph.rewrite(operator, "Reshape", [inner.inputs[0], target], {})
        changed = True
    return changed
