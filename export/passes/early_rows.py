"""Rows of which only one is read."""

from collections.abc import Iterator

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator

ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Erf", "Gelu", "Relu", "Sigmoid", "Tanh", "Sqrt", "Pow"}
ROW_AXIS, RANK = 1, 3
"""Rows are the tokens of (B, N, C)."""


def take_rows_early(graph: OnnxGraph) -> bool:
    """Gather(f(x), row) -> f(Gather(x, row)) as far up as f works row by row, where nothing else reads f(x).

    If only the class token is classified, the last block computes queries, attention, projection and MLP for this token
    alone; keys and values of all tokens stay. Products, elementwise operators, softmax and LayerNormalization along the
    last axis, and concatenation of columns work row by row. This is less work, not faster work: a rate in
    multiplications per second that counts the products in full does not compare.
    """
    return any([_take_early(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Gather"])


def _take_early(graph: OnnxGraph, gather: Operator) -> bool:
    x, indices = gather.inputs[0], graph.constants.get(gather.inputs[1])
    if indices is None or indices.ndim > 0 or len(graph.shape(x)) != RANK:
        return False
    if gather.attributes.get("axis", 0) != ROW_AXIS:
        return False
    row = int(indices) % graph.shape(x)[ROW_AXIS]
    inside = _find_row_wise(graph, gather)
    if not any(operator.op_type == "MatMul" for operator in inside):
        return False
    taken: dict[str, str] = {}
    for operator in [operator for operator in graph.operators if operator in inside]:
        for index, name in _row_inputs(graph, operator):
            if graph.producer(name) not in inside:
                if name not in taken:
                    taken[name] = _take(graph, operator, name, row)
                graph.set_input(operator, index, taken[name])
        output = operator.outputs[0]
        graph.types[output] = _one_row(graph.types[output])
    graph.set_input(gather, 1, graph.add_constant(f"{gather.name}.row", np.array(0, np.int64)))
    return True


def _find_row_wise(graph: OnnxGraph, gather: Operator) -> set[Operator]:
    """The operators before the Gather that work row by row and whose results nothing outside reads."""
    inside: set[Operator] = set()
    for operator in reversed(graph.operators[:graph.operators.index(gather)]):
        output = operator.outputs[0]
        users = graph.users(output)
        private = users and output not in graph.outputs and all(
            user is gather or user in inside and _reads_rows(graph, user, output) for user in users)
        if private and _works_row_by_row(graph, operator):
            inside.add(operator)
    return inside


def _works_row_by_row(graph: OnnxGraph, operator: Operator) -> bool:
    shape = graph.shape(operator.outputs[0])
    if len(shape) != RANK or shape[ROW_AXIS] == 1 or len(operator.outputs) != 1:
        return False
    if any(name not in graph.constants and len(graph.shape(name)) != RANK for _, name in _row_inputs(graph, operator)):
        return False
    if operator.op_type in ("Softmax", "Concat", "LayerNormalization"):
        return operator.attributes.get("axis", -1) in (-1, RANK - 1)
    if operator.op_type == "MatMul":
        return len(graph.shape(operator.inputs[0])) == RANK and operator.inputs[0] not in graph.constants
    return operator.op_type in ELEMENTWISE


def _row_inputs(graph: OnnxGraph, operator: Operator) -> Iterator[tuple[int, str]]:
    """The inputs that have the rows of the result."""
    names = operator.inputs[:1] if operator.op_type in ("MatMul", "LayerNormalization") else operator.inputs
    for index, name in enumerate(names):
        shape = graph.shape(name)
        if len(shape) >= 2 and shape[-2] > 1:
            yield index, name


def _reads_rows(graph: OnnxGraph, operator: Operator, name: str) -> bool:
    """Whether an operator that works row by row reads a value in no other way."""
    return operator.inputs.count(name) == sum(used == name for _, used in _row_inputs(graph, operator))


def _take(graph: OnnxGraph, before: Operator, name: str, row: int) -> str:
    if name in graph.constants:
        constant = graph.constants[name]
        return graph.add_constant(f"{name}.row", np.ascontiguousarray(constant.take([row], constant.ndim - 2)))
    taken = graph.unique(f"{name}.row")
    indices = graph.add_constant(f"{name}.row.index", np.array([row], np.int64))
    operator = Operator("Gather", taken, [name, indices], [taken], {"axis": ROW_AXIS})
    graph.add_operator(operator, [_one_row(graph.types[name])], before=before)
    return taken


def _one_row(type_: TensorType) -> TensorType:
    return TensorType(type_.dtype, (type_.shape[0], 1, *type_.shape[2:]))
