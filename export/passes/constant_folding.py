"""What can be computed at export."""

import math

from msnoah.export.builder import fold
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.common_subexpressions import RANDOM

SMALL = 1024
"""Elements; a larger result is stored only where what it is computed from is as large."""


def fold_constants(graph: OnnxGraph) -> bool:
    """Computes operators whose inputs are all constant, where the result is no larger than the inputs, or small."""
    return any([_fold(graph, operator) for operator in graph.operators.copy()
                if all(name in graph.constants for name in operator.inputs if name)])


def _fold(graph: OnnxGraph, operator: Operator) -> bool:
    if operator.op_type in RANDOM or any(name in graph.outputs for name in operator.outputs):
        return False
    if any(not isinstance(value, int | float | str | bytes | list | tuple) for value in operator.attributes.values()):
        return False
    read = sum(graph.constants[name].size for name in operator.inputs if name)
    if sum(math.prod(graph.shape(name)) for name in operator.outputs) > max(read, SMALL):
        return False
    inputs = [graph.constants[name] if name else None for name in operator.inputs]
    results = fold(operator.op_type, inputs, len(operator.outputs), operator.attributes, graph.opset)
    for name, array in zip(operator.outputs, results, strict=True):
        graph.replace(name, graph.add_constant(f"{name}.folded", array.astype(graph.types[name].dtype, copy=False)))
    graph.remove(operator)
    return True
