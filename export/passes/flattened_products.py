"""Products that flatten their input and shape their result back."""

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant


def unflatten_products(graph: OnnxGraph) -> bool:
    """Reshape(Reshape(x, (-1, K)) W + b, s) without one of the two Reshapes.

    A matrix product and the addition of one number a column work on the last axis alone, and a Reshape depends only on
    the order of the elements, which flattening the leading axes keeps. So, for W of shape (K, L):

        Reshape(x W + b, s)                      if x has shape (..., K)
        Reshape(x, (*s[:-1], K)) W + b           if s ends with L
    """
    return any([_unflatten(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Reshape"])


def _unflatten(graph: OnnxGraph, flatten: Operator) -> bool:
    x, flat = flatten.inputs[0], flatten.outputs[0]
    chain, last = _chain(graph, flat) if len(graph.shape(flat)) == 2 else ([], None)
    if not chain:
        return False
    width, shape = graph.shape(flat)[-1], graph.shape(last.outputs[0])
    if len(graph.shape(x)) > 2 and graph.shape(x)[-1] == width:
        leading = graph.shape(x)[:-1]
        graph.set_input(chain[0], 0, x)
    elif len(shape) > 2 and shape[-1] == graph.shape(last.inputs[0])[-1]:
        leading = shape[:-1]
        _reshape(graph, flatten, (*leading, width))
    else:
        return False
    for operator in chain:
        name = operator.outputs[0]
        graph.types[name] = TensorType(graph.types[name].dtype, (*leading, graph.shape(name)[-1]))
    return True


def _reshape(graph: OnnxGraph, operator: Operator, shape: tuple[int, ...]) -> None:
    target = graph.add_constant(f"{operator.name}.shape", np.array(shape, np.int64))
    graph.rewrite(operator, "Reshape", [operator.inputs[0], target], {})
    graph.types[operator.outputs[0]] = TensorType(graph.types[operator.outputs[0]].dtype, shape)


def _chain(graph: OnnxGraph, name: str) -> tuple[list[Operator], Operator | None]:
    """The product and the additions after it, and the Reshape they end in; nothing if something else comes between."""
    operators = []
    while (operator := graph.only_user(name)) is not None:
        if operator.op_type == "Reshape":
            return operators, operator
        if not _works_on_last_axis(graph, operator, name, first=not operators):
            break
        operators.append(operator)
        name = operator.outputs[0]
    return [], None


def _works_on_last_axis(graph: OnnxGraph, operator: Operator, name: str, first: bool) -> bool:
    if first:
        return operator.op_type == "MatMul" and operator.inputs[0] == name and operator.inputs[1] in graph.constants
    addition = split_constant(graph, operator)
    return addition is not None and len(graph.shape(addition[1])) <= 1
