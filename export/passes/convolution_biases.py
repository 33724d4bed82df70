"""A constant added to each channel of a convolution."""

from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant


def merge_convolution_biases(graph: OnnxGraph) -> bool:
    """Conv(x, W) + c -> Conv(x, W, c), and Conv(x, W, b) + c -> Conv(x, W, b + c), for c of shape (C, 1, ..., 1)."""
    return any([_merge(graph, operator) for operator in graph.operators.copy()])


def _merge(graph: OnnxGraph, operator: Operator) -> bool:
    operands = split_constant(graph, operator)
    convolution = graph.producer(operands[0]) if operands else None
    if convolution is None or convolution.op_type != "Conv" or graph.only_user(operands[0]) is None:
        return False
    bias, shape = graph.constants[operands[1]], graph.shape(operands[0])
    per_channel = (shape[1], *[1] * (len(shape) - 2))
    if bias.shape not in (per_channel, (1, *per_channel)):
        return False
    name = operands[1]
    bias = bias.reshape(-1)
    if len(convolution.inputs) == 3:
        name = convolution.inputs[2]
        if name not in graph.constants:
            return False
        bias = bias + graph.constants[name]
    merged = graph.add_constant(f"{name}.merged", bias)
    graph.rewrite(convolution, "Conv", [*convolution.inputs[:2], merged], convolution.attributes)
    return graph.bypass(operator, operands[0])
