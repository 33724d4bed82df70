"""Means over tokens, taken before the work that commutes with them."""

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.reduced_axes import read_axes


def take_means_early(graph: OnnxGraph) -> bool:
    """mean(x W) = mean(x) W, and with it mean(x + y W) = mean(x) + mean(y) W, for means over axes before the last.

    The product then has one row instead of one a token. This is less work, not faster work: a rate in multiplications
    per second that counts the product in full does not compare.
    """
    means = [operator for operator in graph.operators if operator.op_type == "ReduceMean"]
    return any([_take_early(graph, mean) for mean in means])


def multiply_for_means(graph: OnnxGraph) -> bool:
    """The mean of N rows of (B, N, C) as the product with a row of N times 1 / N, where nothing can be taken early.

    ONNX Runtime reduces an axis that is not the last five times slower than it multiplies.
    """
    means = [operator for operator in graph.operators if operator.op_type == "ReduceMean"]
    return any([_multiply(graph, mean) for mean in means])


def _multiply(graph: OnnxGraph, mean: Operator) -> bool:
    x = mean.inputs[0]
    shape, type_ = graph.shape(x), graph.types[x]
    if len(shape) != 3 or read_axes(graph, mean) != [1] or type_.dtype != np.float32:
        return False
    row = graph.add_constant(f"{mean.name}.row", np.full((1, shape[1]), 1 / shape[1], np.float32))
    if mean.attributes.get("keepdims", 1):
        graph.rewrite(mean, "MatMul", [row, x], {})
        return True
    name = graph.unique(f"{mean.name}.MatMul")
    kept = TensorType(type_.dtype, (shape[0], 1, shape[2]))
    graph.add_operator(Operator("MatMul", name, [row, x], [name], {}), [kept], before=mean)
    target = graph.add_constant(f"{mean.name}.shape", np.array(graph.shape(mean.outputs[0]), np.int64))
    graph.rewrite(mean, "Reshape", [name, target], {})
    return True


def _take_early(graph: OnnxGraph, mean: Operator) -> bool:
    x = mean.inputs[0]
    producer, rank = graph.producer(x), len(graph.shape(x))
    axes = read_axes(graph, mean)
    if producer is None or graph.only_user(x) is None or not axes or rank - 1 in axes:
        return False
    if _is_linear(graph, producer):
        product = graph.unique(f"{mean.name}.mean")
        shape = (*graph.shape(mean.outputs[0])[:-1], graph.shape(producer.inputs[0])[-1])
        inserted = _insert_mean(graph, mean, producer.inputs[0], product, shape)
        graph.rewrite(mean, "MatMul", [product, producer.inputs[1]], {})
        graph.remove(producer)
        _take_early(graph, inserted)
        return True
    if producer.op_type != "Add" or not any(_ends_in_product(graph, name) for name in producer.inputs):
        return False
    if any(graph.types.get(name) != graph.types[x] or name in graph.constants for name in producer.inputs):
        return False
    names = [graph.unique(f"{mean.name}.mean") for _ in producer.inputs]
    inserted = [_insert_mean(graph, mean, source, name, graph.shape(mean.outputs[0]))
                for source, name in zip(producer.inputs, names, strict=True)]
    graph.rewrite(mean, "Add", names, {})
    graph.remove(producer)
    for operator in inserted:
        _take_early(graph, operator)
    return True


def _insert_mean(graph: OnnxGraph, mean: Operator, source: str, name: str, shape: tuple[int, ...]) -> Operator:
    operator = Operator("ReduceMean", name, [source, *mean.inputs[1:]], [name], dict(mean.attributes))
    graph.add_operator(operator, [TensorType(graph.types[source].dtype, tuple(shape))], before=mean)
    return operator


def _ends_in_product(graph: OnnxGraph, name: str) -> bool:
    producer = graph.producer(name)
    return producer is not None and graph.only_user(name) is not None and _is_linear(graph, producer)


def _is_linear(graph: OnnxGraph, operator: Operator) -> bool:
    matrix = operator.inputs[1] if operator.op_type == "MatMul" else ""
    return matrix in graph.constants and len(graph.shape(matrix)) == 2 and operator.inputs[0] not in graph.constants
