"""Constant factors beside a product with a constant matrix."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant


def merge_constant_scales(graph: OnnxGraph) -> bool:
    """Takes a factor s, a scalar or one number a column, into the matrix W.

    After the product:  (x W + b) s = x (W diag(s)) + b s.
    Before the product: (x s) W = x (diag(s) W), where x s has no other user. The factor 1/2 that ends a GELU stays:
    ONNX Runtime runs the whole pattern as one kernel.
    """
    return any([_merge(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Mul"])


def _merge(graph: OnnxGraph, operator: Operator) -> bool:
    operands = split_constant(graph, operator, "Mul")
    if operands is None:
        return False
    x, scale = operands[0], graph.constants[operands[1]]
    if scale.size != max(scale.shape, default=1) or scale.size not in (1, (scale.shape or (1,))[-1]):
        return False
    if graph.shape(operator.outputs[0]) != graph.shape(x):
        return False
    return _merge_after(graph, operator, x, scale.reshape(-1)) or _merge_before(graph, operator, x, scale.reshape(-1))


def _merge_after(graph: OnnxGraph, operator: Operator, x: str, scale: np.ndarray) -> bool:
    producer = graph.producer(x)
    if producer is None or graph.only_user(x) is None:
        return False
    addition = split_constant(graph, producer)
    product = graph.producer(addition[0]) if addition else producer
    if product is None or not _has_matrix(graph, product) or (addition and graph.only_user(addition[0]) is None):
        return False
    if addition:
        graph.rewrite(producer, "Add", [addition[0], _scaled(graph, addition[1], scale)], {})
    graph.rewrite(product, "MatMul", [product.inputs[0], _scaled(graph, product.inputs[1], scale)], {})
    return graph.bypass(operator, x)


def _merge_before(graph: OnnxGraph, operator: Operator, x: str, scale: np.ndarray) -> bool:
    product = graph.only_user(operator.outputs[0])
    if product is None or not _has_matrix(graph, product) or _ends_gelu(graph, x):
        return False
    graph.rewrite(product, "MatMul", [operator.outputs[0], _scaled(graph, product.inputs[1], scale[:, None])], {})
    return graph.bypass(operator, x)


def _ends_gelu(graph: OnnxGraph, x: str) -> bool:
    factors = [graph.producer(name) for name in getattr(graph.producer(x), "inputs", ())]
    sums = [factor for factor in factors if factor and factor.op_type == "Add"]
    parts = [graph.producer(name) for operator in sums for name in operator.inputs]
    return any(part and part.op_type in ("Erf", "Tanh") for part in parts)


def _has_matrix(graph: OnnxGraph, product: Operator) -> bool:
    matrix = product.inputs[1] if product.op_type == "MatMul" else ""
    return matrix in graph.constants and len(graph.shape(matrix)) == 2


def _scaled(graph: OnnxGraph, name: str, scale: np.ndarray) -> str:
    return graph.add_constant(f"{name}.scaled", graph.constants[name] * scale)
