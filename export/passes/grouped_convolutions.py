"""Convolutions of the parts of a value whose results are joined."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.linear_layers import read_layer


def group_convolutions(graph: OnnxGraph) -> bool:
    """Writes Concat(Conv(x_1), Conv(x_2), ...) of the equal parts of x as one convolution in groups."""
    return any([_group(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Concat"])


def _group(graph: OnnxGraph, concat: Operator) -> bool:
    parts = [graph.producer(name) for name in concat.inputs]
    if any(part is None or part.op_type != "Conv" or read_layer(graph, part) is None for part in parts):
        return False
    split = graph.producer(parts[0].inputs[0])
    if split is None or split.op_type != "Split" or split.outputs != [part.inputs[0] for part in parts]:
        return False
    if any(graph.only_user(name) is None for name in (*concat.inputs, *split.outputs)):
        return False
    rank = len(graph.shape(split.inputs[0]))
    if any(operator.attributes.get("axis", 0) % rank != 1 for operator in (split, concat)):
        return False
    first = parts[0]
    if any(graph.shape(part.inputs[1]) != graph.shape(first.inputs[1]) or part.attributes != first.attributes
           or len(part.inputs) != len(first.inputs) or graph.shape(part.inputs[0]) != graph.shape(first.inputs[0])
           for part in parts):
        return False
    inputs = [split.inputs[0]]
    for index, name in enumerate(first.inputs[1:], 1):
        joined = np.concatenate([graph.constants[part.inputs[index]] for part in parts])
        inputs.append(graph.add_constant(f"{name}.joined", joined))
    group = first.attributes.get("group", 1) * len(parts)
    graph.rewrite(concat, "Conv", inputs, {**first.attributes, "group": group})
    for operator in (*parts, split):
        graph.remove(operator)
    return True
