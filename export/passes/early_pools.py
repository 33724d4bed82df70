"""Average pooling ahead of convolutions that see one pixel at a time."""

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.linear_layers import read_layer


def pool_early(graph: OnnxGraph) -> bool:
    """Averages before a 1x1 convolution instead of after it, where that leaves it fewer pixels: both are linear, one
    over channels and one over places. This is less work, not faster work."""
    return any([_swap(graph, operator) for operator in graph.operators.copy()
                if operator.op_type in ("AveragePool", "GlobalAveragePool")])


def _swap(graph: OnnxGraph, pool: Operator) -> bool:
    x = pool.inputs[0]
    convolution = graph.producer(x)
    if convolution is None or graph.only_user(x) is None or not _sees_one_pixel(graph, convolution):
        return False
    counts_padding = any(pool.attributes.get("pads", ())) and pool.attributes.get("count_include_pad")
    if counts_padding and read_layer(graph, convolution).bias is not None:
        return False
    shape, pooled = graph.shape(x), graph.shape(pool.outputs[0])
    if 2 * np.prod(pooled[2:]) > np.prod(shape[2:]):
        return False
    source = convolution.inputs[0]
    name = graph.unique(f"{pool.name}.early")
    type_ = TensorType(graph.types[x].dtype, (*graph.shape(source)[:2], *pooled[2:]))
    graph.add_operator(Operator(pool.op_type, name, [source], [name], pool.attributes), [type_], before=pool)
    graph.rewrite(pool, "Conv", [name, *convolution.inputs[1:]], convolution.attributes)
    graph.remove(convolution)
    return True


def _sees_one_pixel(graph: OnnxGraph, operator: Operator) -> bool:
    if operator.op_type != "Conv" or read_layer(graph, operator) is None:
        return False
    strides, pads = operator.attributes.get("strides", ()), operator.attributes.get("pads", ())
    return set(graph.shape(operator.inputs[1])[2:]) == {1} and set(strides) <= {1} and not any(pads)
