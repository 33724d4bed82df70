"""Products that flatten their input and shape their result back."""

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import Operator, OnnxGraph
from msnoah.export.passes.constant_adds import split_constant


def unflatten_products(graph: OnnxGraph) -> bool:
    """Reshape(Reshape(x, (-1, K)) W + b, s) -> Reshape(x W + b, s) for x of shape (..., K).

    A matrix product and the addition of one number a column work on the last axis alone, and the last Reshape depends only on the order
    of the elements, which flattening the leading axes keeps.
    """
    return any([_unflatten(graph, operator) for operator in graph.operators if operator.op_type == "Reshape"])


def _unflatten(graph: OnnxGraph, flatten: Operator) -> bool:
    x, flat = flatten.inputs[0], flatten.outputs[0]
    if len(graph.shape(flat)) != 2 or len(graph.shape(x)) < 3 or graph.shape(x)[-1] != graph.shape(flat)[-1]:
        return False
    chain = _chain(graph, flat)
    if not chain:
        return False
    graph.set_input(chain[0], 0, x)
    for operator in chain:
        name = operator.outputs[0]
        graph.types[name] = TensorType(graph.types[name].dtype, (*graph.shape(x)[:-1], graph.shape(name)[-1]))
    return True


def _chain(graph: OnnxGraph, name: str) -> list[Operator]:
    """The product and the additions after it, up to a Reshape; empty if something else comes between."""
    operators = []
    while (operator := graph.only_user(name)) is not None:
        if operator.op_type == "Reshape":
            return operators
        if not _works_on_last_axis(graph, operator, name, first=not operators):
            return []
        operators.append(operator)
        name = operator.outputs[0]
    return []


def _works_on_last_axis(graph: OnnxGraph, operator: Operator, name: str, first: bool) -> bool:
    if first:
        return operator.op_type == "MatMul" and operator.inputs[0] == name and operator.inputs[1] in graph.constants
    addition = split_constant(graph, operator)
    return addition is not None and len(graph.shape(addition[1])) <= 1
