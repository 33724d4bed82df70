"""Rows of which only a few are read."""

from collections.abc import Iterator

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator

ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Erf", "Gelu", "Relu", "Sigmoid", "Tanh", "Sqrt", "Pow"}
ROW_AXIS, RANK = 1, 3
"""Rows are the tokens of (B, N, C)."""


def take_rows_early(graph: OnnxGraph) -> bool:
    """Gather(f(x), rows) -> f(Gather(x, rows)) as far up as f works row by row, where nothing else reads f(x).

    If only the class token is classified, the last block computes queries, attention, projection and MLP for this token
    alone; keys and values of all tokens stay. So it is with a distillation token beside it, whose row another Gather
    takes. Products, elementwise operators, softmax and LayerNormalization along the last axis, and concatenation of
    columns work row by row. This is less work, not faster work: a rate in multiplications per second that counts the
    products in full does not compare.
    """
    return any([_take_early(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Gather"])


def _take_early(graph: OnnxGraph, gather: Operator) -> bool:
    x = gather.inputs[0]
    gathers = {user: _read_rows(graph, user, x) for user in graph.users(x)}
    if x in graph.outputs or any(rows is None for rows in gathers.values()):
        return False
    rows = np.unique(np.concatenate([rows.reshape(-1) for rows in gathers.values()]))
    inside = _find_row_wise(graph, set(gathers))
    if 2 * len(rows) > graph.shape(x)[ROW_AXIS] or not any(operator.op_type == "MatMul" for operator in inside):
        return False
    taken: dict[str, str] = {}
    for operator in [operator for operator in graph.operators if operator in inside]:
        for index, name in _row_inputs(graph, operator):
            if graph.producer(name) not in inside:
                if name not in taken:
                    taken[name] = _take(graph, operator, name, rows)
                graph.set_input(operator, index, taken[name])
        output = operator.outputs[0]
        graph.types[output] = _with_rows(graph.types[output], len(rows))
    for user, wanted in gathers.items():
        graph.set_input(user, 1, graph.add_constant(f"{user.name}.row", np.searchsorted(rows, wanted).astype(np.int64)))
    return True


def _read_rows(graph: OnnxGraph, operator: Operator, x: str) -> np.ndarray | None:
    """The rows that a Gather takes, counted from the front, if they are known; None for what reads x otherwise."""
    if operator.op_type != "Gather" or operator.inputs[1] not in graph.constants or len(graph.shape(x)) != RANK:
        return None
    indices = graph.constants[operator.inputs[1]]
    is_row = operator.attributes.get("axis", 0) in (ROW_AXIS, ROW_AXIS - RANK)
    return indices % graph.shape(x)[ROW_AXIS] if is_row and indices.ndim < 2 and indices.size else None


def _find_row_wise(graph: OnnxGraph, gathers: set[Operator]) -> set[Operator]:
    """The operators before the Gathers that work row by row and whose results nothing outside reads."""
    inside: set[Operator] = set()
    for operator in reversed(graph.operators[:max(map(graph.operators.index, gathers))]):
        output = operator.outputs[0]
        users = graph.users(output)
        private = users and output not in graph.outputs and all(
            user in gathers or user in inside and _reads_rows(graph, user, output) for user in users)
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


def _take(graph: OnnxGraph, before: Operator, name: str, rows: np.ndarray) -> str:
    if name in graph.constants:
        constant = graph.constants[name]
        return graph.add_constant(f"{name}.row", np.ascontiguousarray(constant.take(rows, constant.ndim - 2)))
    taken = graph.unique(f"{name}.row")
    indices = graph.add_constant(f"{name}.row.index", rows.astype(np.int64))
    operator = Operator("Gather", taken, [name, indices], [taken], {"axis": ROW_AXIS})
    graph.add_operator(operator, [_with_rows(graph.types[name], len(rows))], before=before)
    return taken


def _with_rows(type_: TensorType, count: int) -> TensorType:
    return TensorType(type_.dtype, (type_.shape[0], count, *type_.shape[2:]))
