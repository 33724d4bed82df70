"""Transpositions that only put rows into another order."""

import math

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator

MIN_RANK = 5
"""Below, a transposition swaps two axes, which runtimes do well, or fuse into a product."""
MIN_WIDTH = 32
"""Of a row, in elements, from where on taking rows one by one costs less than a transposition of many axes."""


def gather_rows(graph: OnnxGraph) -> bool:
    """Transpose(x, (0, ..., r - 1)) -> Gather of rows, where the first axis and the last stay in place.

    With the axes between them flattened, x of shape (B, d_1, ..., d_n, C) is (B, N, C), and the transposition takes its
    N rows in a known order. Cutting a map of tokens into windows is such a one. Orders that follow each other merge:
    x[p][q] = x[p[q]].
    """
    transposes = [operator for operator in graph.operators if operator.op_type == "Transpose"]
    gathers = [operator for operator in graph.operators if operator.op_type == "Gather"]
    changed = [_gather(graph, transpose) for transpose in transposes]
    return any([*changed, *[_merge(graph, gather) for gather in gathers]])


def _gather(graph: OnnxGraph, transpose: Operator) -> bool:
    x, perm = transpose.inputs[0], list(transpose.attributes["perm"])
    shape, rank = graph.shape(x), len(perm)
    if rank < MIN_RANK or perm[0] != 0 or perm[-1] != rank - 1 or shape[-1] < MIN_WIDTH or 0 in shape:
        return False
    rows = math.prod(shape[1:-1])
    order = np.arange(rows).reshape(shape[1:-1]).transpose([axis - 1 for axis in perm[1:-1]]).reshape(-1)
    type_ = TensorType(graph.types[x].dtype, (shape[0], rows, shape[-1]))
    flat = _insert(graph, transpose, "Reshape", [x, _shape(graph, transpose, type_.shape)], {}, type_)
    indices = graph.add_constant(f"{transpose.name}.order", order.astype(np.int64))
    taken = _insert(graph, transpose, "Gather", [flat, indices], {"axis": 1}, type_)
    graph.rewrite(transpose, "Reshape", [taken, _shape(graph, transpose, graph.shape(transpose.outputs[0]))], {})
    return True


def _merge(graph: OnnxGraph, gather: Operator) -> bool:
    inner = graph.producer(gather.inputs[0])
    if inner is None or inner.op_type != "Gather":
        return False
    if inner.attributes.get("axis", 0) != gather.attributes.get("axis", 0):
        return False
    first, second = graph.constants.get(inner.inputs[1]), graph.constants.get(gather.inputs[1])
    if first is None or second is None or first.ndim != 1 or second.ndim != 1:
        return False
    graph.rewrite(gather, "Gather", [inner.inputs[0], graph.add_constant(f"{gather.name}.order", first[second])],
                  gather.attributes)
    return True


def _insert(graph: OnnxGraph, before: Operator, op_type: str, inputs, attributes, type_: TensorType) -> str:
    name = graph.unique(f"{before.name}.{op_type}")
    graph.add_operator(Operator(op_type, name, inputs, [name], attributes), [type_], before=before)
    return name


def _shape(graph: OnnxGraph, operator: Operator, shape: tuple[int, ...]) -> str:
    return graph.add_constant(f"{operator.name}.shape", np.array(shape, np.int64))
