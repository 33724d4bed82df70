"""Means over all of an image."""

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.reduced_axes import read_axes

POOLED = (np.float32, np.float16)
"""Element types that ONNX Runtime pools."""


def pool_globally(graph: OnnxGraph) -> bool:
    """Writes ReduceMean over the spatial axes of (B, C, H, W) as GlobalAveragePool, which ONNX Runtime runs in the
    blocked layout of the convolutions around it."""
    means = [operator for operator in graph.operators if operator.op_type == "ReduceMean"]
    return any([_pool(graph, mean) for mean in means])


def _pool(graph: OnnxGraph, mean: Operator) -> bool:
    x = mean.inputs[0]
    shape, type_ = graph.shape(x), graph.types[x]
    if len(shape) != 4 or read_axes(graph, mean) != [2, 3] or type_.dtype not in POOLED:
        return False
    if mean.attributes.get("keepdims", 1):
        graph.rewrite(mean, "GlobalAveragePool", [x], {})
        return True
    name = graph.unique(f"{mean.name}.GlobalAveragePool")
    kept = TensorType(type_.dtype, (*shape[:2], 1, 1))
    graph.add_operator(Operator("GlobalAveragePool", name, [x], [name], {}), [kept], before=mean)
    target = graph.add_constant(f"{mean.name}.shape", np.array(shape[:2], np.int64))
    graph.rewrite(mean, "Reshape", [name, target], {})
    return True
