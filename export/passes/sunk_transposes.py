"""Transposes that go behind element-wise operators, where there is then one less."""

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.elementwise import BINARY, UNARY


def sink_transposes(graph: OnnxGraph) -> bool:
    """Moves transposes behind element-wise operators: f(T(x), T(y)) = T(f(x, y)), and T'(f(T(x))) = T'(T(f(x))), which
    is one transpose."""
    return any([_sink(graph, operator) for operator in graph.operators.copy()
                if operator.op_type in UNARY or operator.op_type in BINARY])


def _sink(graph: OnnxGraph, operator: Operator) -> bool:
    perm = _common_order(graph, operator)
    if perm is None or not (_count(graph, operator) > 1 or _leads_to_transpose(graph, operator)):
        return False
    output = operator.outputs[0]
    inverse = np.argsort(perm)
    sources = [graph.producer(name) for name in _moved_inputs(graph, operator)]
    inputs = [_move_back(graph, operator, index, perm) for index in range(len(operator.inputs))]
    name, type_ = graph.unique(f"{operator.name}.inner"), graph.types[output]
    inner = Operator(operator.op_type, name, inputs, [name], operator.attributes)
    shape = tuple(type_.shape[axis] for axis in inverse)
    graph.add_operator(inner, [TensorType(type_.dtype, shape)], before=operator)
    graph.rewrite(operator, "Transpose", [name], {"perm": perm})
    for source in sources:
        graph.remove(source)
    return True


def _moved_inputs(graph: OnnxGraph, operator: Operator) -> list[str]:
    names = operator.inputs[:1] if operator.op_type in UNARY else operator.inputs
    return [name for name in names if name not in graph.constants]


def _count(graph: OnnxGraph, operator: Operator) -> int:
    return len(_moved_inputs(graph, operator))


def _common_order(graph: OnnxGraph, operator: Operator) -> list[int] | None:
    """The order of axes that all run-time inputs were transposed to, if nothing else reads them and none gets further
    axes by broadcasting."""
    rank, perms = len(graph.shape(operator.outputs[0])), set()
    for name in _moved_inputs(graph, operator):
        source = graph.producer(name)
        if source is None or source.op_type != "Transpose" or graph.only_user(name) is None:
            return None
        perms.add(tuple(source.attributes["perm"]))
    perm = perms.pop() if len(perms) == 1 else ()
    return list(perm) if len(perm) == rank else None


def _leads_to_transpose(graph: OnnxGraph, operator: Operator) -> bool:
    """Whether what follows is a Transpose, behind nothing but element-wise operators of one run-time input."""
    following = graph.only_user(operator.outputs[0])
    while following is not None and (following.op_type in UNARY or following.op_type in BINARY):
        if _count(graph, following) != 1 or len(graph.shape(following.outputs[0])) != len(
                graph.shape(operator.outputs[0])):
            return False
        following = graph.only_user(following.outputs[0])
    return following is not None and following.op_type == "Transpose"


def _move_back(graph: OnnxGraph, operator: Operator, index: int, perm: list[int]) -> str:
    """An input as it was before the transposes: what a Transpose read, or a constant with its axes in that order."""
    name = operator.inputs[index]
    if name not in graph.constants:
        return graph.producer(name).inputs[0]
    constant = graph.constants[name]
    if constant.size == 1 or operator.op_type in UNARY:
        return name
    full = constant.reshape((1,) * (len(perm) - constant.ndim) + constant.shape)
    return graph.add_constant(f"{name}.transposed", np.ascontiguousarray(full.transpose(np.argsort(perm))))
