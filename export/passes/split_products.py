"""Products whose columns are taken apart."""

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant


def split_products(graph: OnnxGraph) -> bool:
    """Split(x W + b) -> x W_1 + b_1, x W_2 + b_2, ...: the columns of W and b are taken apart at export, so that no
    result is copied. A Transpose or Reshape in between moves behind the Split."""
    return any([_lower(graph, operator) or _take_apart(graph, operator)
                for operator in graph.operators.copy() if operator.op_type == "Split"])


def _lower(graph: OnnxGraph, split: Operator) -> bool:
    """Split(f(x)) -> f(x_1), f(x_2), ..., where f is a Transpose, or a Reshape that keeps the last axis."""
    between = graph.producer(split.inputs[0])
    if between is None or between.op_type not in ("Transpose", "Reshape") or not _is_private(graph, split):
        return False
    x, axis = between.inputs[0], split.attributes.get("axis", 0) % len(graph.shape(split.inputs[0]))
    order = _axes_before(graph, between)
    if axis not in order or not _leads_to_product(graph, x, order[axis]):
        return False
    axis = order[axis]
    shapes = [list(graph.shape(x)) for _ in split.outputs]
    for shape, output in zip(shapes, split.outputs, strict=True):
        shape[axis] = graph.shape(output)[split.attributes.get("axis", 0)]
    name, dtype = graph.unique(split.name), graph.types[x].dtype
    lowered = Operator("Split", name, [x, *split.inputs[1:]],
                       [f"{name}.{index}" for index in range(len(split.outputs))], {**split.attributes, "axis": axis})
    graph.add_operator(lowered, [TensorType(dtype, tuple(shape)) for shape in shapes], before=split)
    for source, output in zip(lowered.outputs, split.outputs, strict=True):
        extra = [_shape(graph, between, output)] if between.op_type == "Reshape" else []
        _put_in_place(graph, split, output, between.op_type, [source, *extra], dict(between.attributes))
    graph.remove(split)
    return True


def _leads_to_product(graph: OnnxGraph, name: str, axis: int) -> bool:
    between = graph.producer(name)
    if between is None or between.op_type not in ("Transpose", "Reshape"):
        return find_product(graph, name, axis) is not None
    order = _axes_before(graph, between)
    if graph.only_user(name) is None or axis not in order:
        return False
    return _leads_to_product(graph, between.inputs[0], order[axis])


def _axes_before(graph: OnnxGraph, operator: Operator) -> dict[int, int]:
    """Where axes of the result were before, as far as they are the same."""
    if operator.op_type == "Transpose":
        return dict(enumerate(operator.attributes["perm"]))
    before, after = graph.shape(operator.inputs[0]), graph.shape(operator.outputs[0])
    return {len(after) - 1: len(before) - 1} if before[-1:] == after[-1:] else {}


def _shape(graph: OnnxGraph, operator: Operator, output: str) -> str:
    return graph.add_constant(f"{operator.name}.shape", np.array(graph.shape(output), np.int64))


def _take_apart(graph: OnnxGraph, split: Operator) -> bool:
    found = find_product(graph, split.inputs[0], split.attributes.get("axis", 0))
    if found is None or not _is_private(graph, split):
        return False
    product, bias = found
    stops = np.cumsum([graph.shape(name)[-1] for name in split.outputs])[:-1]
    matrices = np.split(graph.constants[product.inputs[1]], stops, axis=1)
    biases = np.split(graph.constants[bias], stops, axis=-1) if bias else [None] * len(matrices)
    for index, (output, matrix, part) in enumerate(zip(split.outputs, matrices, biases, strict=True)):
        columns = graph.add_constant(f"{product.inputs[1]}.{index}", np.ascontiguousarray(matrix))
        result = _put_in_place(graph, split, output, "MatMul", [product.inputs[0], columns], {})
        if part is not None:
            added = graph.add_constant(f"{bias}.{index}", part)
            _put_in_place(graph, split, result, "Add", [result, added], {})
    graph.remove(split)
    return True


def _put_in_place(graph: OnnxGraph, split: Operator, output: str, op_type: str, inputs: list[str], attributes) -> str:
    """Adds an operator before the Split, with a result that whoever reads `output` reads instead."""
    readers = list(graph.users(output))
    name = graph.unique(f"{split.name}.{op_type}")
    graph.add_operator(Operator(op_type, name, inputs, [name], attributes), [graph.types[output]], before=split)
    for reader in readers:
        for index, used in enumerate(reader.inputs):
            if used == output:
                graph.set_input(reader, index, name)
    return name


def find_product(graph: OnnxGraph, name: str, axis: int) -> tuple[Operator, str | None] | None:
    """The product with a constant matrix, and the bias added to it, if only one operator reads each and `axis` of the
    result is that of the columns."""
    rank = len(graph.shape(name))
    if axis % rank != rank - 1 or graph.only_user(name) is None:
        return None
    product, bias = graph.producer(name), None
    addition = split_constant(graph, product) if product else None
    if addition and graph.only_user(addition[0]) is not None:
        product, bias = graph.producer(addition[0]), addition[1]
        if graph.shape(bias)[-1:] != graph.shape(name)[-1:] or graph.shape(addition[0]) != graph.shape(name):
            return None
    if product is None or product.op_type != "MatMul" or product.inputs[1] not in graph.constants:
        return None
    return (product, bias) if len(graph.shape(product.inputs[1])) == 2 else None


def _is_private(graph: OnnxGraph, split: Operator) -> bool:
    return not any(name in graph.outputs for name in split.outputs)
