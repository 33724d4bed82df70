"""Means over tokens, taken before the work that commutes with them."""

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator


def take_means_early(graph: OnnxGraph) -> bool:
    """mean(x W) = mean(x) W, and with it mean(x + y W) = mean(x) + mean(y) W, for means over axes before the last.

    The product then has one row instead of one a token. This is less work, not faster work: a rate in multiplications
    per second that counts the product in full does not compare.
    """
    means = [operator for operator in graph.operators if operator.op_type == "ReduceMean"]
    return any([_take_early(graph, mean) for mean in means])


def _take_early(graph: OnnxGraph, mean: Operator) -> bool:
    x = mean.inputs[0]
    producer, rank = graph.producer(x), len(graph.shape(x))
    axes = [axis % rank for axis in mean.attributes.get("axes", ())]
    if producer is None or graph.only_user(x) is None or not axes or rank - 1 in axes:
        return False
    if _is_linear(graph, producer):
        product = graph.unique(f"{mean.name}.mean")
        shape = (*graph.shape(mean.outputs[0])[:-1], graph.shape(producer.inputs[0])[-1])
        _insert_mean(graph, mean, producer.inputs[0], product, shape)
        graph.rewrite(mean, "MatMul", [product, producer.inputs[1]], {})
        return True
    if producer.op_type != "Add" or not any(_ends_in_product(graph, name) for name in producer.inputs):
        return False
    if any(graph.types.get(name) != graph.types[x] or name in graph.constants for name in producer.inputs):
        return False
    names = [graph.unique(f"{mean.name}.mean") for _ in producer.inputs]
    for source, name in zip(producer.inputs, names, strict=True):
        _insert_mean(graph, mean, source, name, graph.shape(mean.outputs[0]))
    graph.rewrite(mean, "Add", names, {})
    return True


def _insert_mean(graph: OnnxGraph, mean: Operator, source: str, name: str, shape: tuple[int, ...]) -> None:
    operator = Operator("ReduceMean", name, [source], [name], dict(mean.attributes))
    graph.add_operator(operator, [TensorType(graph.types[source].dtype, tuple(shape))], before=mean)


def _ends_in_product(graph: OnnxGraph, name: str) -> bool:
    producer = graph.producer(name)
    return producer is not None and graph.only_user(name) is not None and _is_linear(graph, producer)


def _is_linear(graph: OnnxGraph, operator: Operator) -> bool:
    matrix = operator.inputs[1] if operator.op_type == "MatMul" else ""
    return matrix in graph.constants and len(graph.shape(matrix)) == 2 and operator.inputs[0] not in graph.constants
