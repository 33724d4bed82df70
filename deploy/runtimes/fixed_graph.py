"""An artifact at one batch size, spelled the way that converters of mobile runtimes get right.

Runs in the converting processes only: it loads onnx, whose memory must not count as a runtime's.
"""

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.runtimes.conversion import Interface
from msnoah.export.complexity import list_bodies
from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator

QUANTIZING = ("QuantizeLinear", "DequantizeLinear")
"""What stands between stored and computed numbers of an int8 graph."""


def read_at_batch(path: Path, batch: int) -> OnnxGraph:
    """An ONNX file with `batch` in the place of every free first axis."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        if axes and not axes[0].dim_value:
            axes[0].dim_value = batch
    fold_constants(model)
    return OnnxGraph.from_model(model)


def write_interface(graph: OnnxGraph, folder: Path) -> Interface:
    """Writes the inputs and outputs of a graph into the folder of what it is converted to."""
    types = {name: graph.types[name] for name in graph.inputs}
    inputs = tuple(TensorSpec(name=name, shape=type_.shape, dtype=type_.dtype.name) for name, type_ in types.items())
    interface = Interface(inputs=inputs, outputs=tuple(graph.outputs))
    interface.save(folder)
    return interface


def halve_before_erf(graph: OnnxGraph) -> None:
    """GELU as (x / 2) (1 + erf(x / sqrt 2)) in place of x (1 + erf(x / sqrt 2)) / 2.

    MNN 3.6 knows the second order and puts its GELU there, which is tanh's approximation: 1e-4 off in every block.
    """
    for halving in [operator for operator in graph.operators if _scale(graph, operator) == 0.5]:
        product = graph.producer(halving.inputs[0])
        if product is None or product.op_type != "Mul" or graph.only_user(product.outputs[0]) is None:
            continue
        x, factor = product.inputs if _adds_erf(graph, product.inputs[1]) else reversed(product.inputs)
        if _adds_erf(graph, factor):
            half = halving.inputs[1]
            graph.rewrite(product, "Mul", [x, half], {})
            graph.rewrite(halving, "Mul", [product.outputs[0], factor], {})


def slice_single_rows(graph: OnnxGraph) -> None:
    """Gather with one constant index as Slice, and Squeeze where the axis goes.

    pnnx takes the axis away in both cases, and ncnn's Gemm then reads a vector of packed numbers as eight rows.
    """
    for operator in [operator for operator in graph.operators if operator.op_type == "Gather"]:
        index = graph.constants.get(operator.inputs[1])
        if index is None or index.size != 1:
            continue
        x, axis = operator.inputs[0], operator.attributes.get("axis", 0)
        shape = graph.shape(x)
        row = int(index.reshape(())) % shape[axis]
        limits = [graph.add_constant(f"{operator.name}.{word}", np.array([number], np.int64))
                  for word, number in (("start", row), ("end", row + 1), ("axis", axis))]
        if index.ndim:
            graph.rewrite(operator, "Slice", [x, *limits], {})
            continue
        sliced = graph.unique(f"{operator.outputs[0]}.slice")
        taken = TensorType(graph.types[x].dtype, (*shape[:axis], 1, *shape[axis + 1:]))
        graph.add_operator(Operator("Slice", sliced, [x, *limits], [sliced]), [taken], before=operator)
        graph.rewrite(operator, "Squeeze", [sliced, limits[2]], {})


def average_for_sums(graph: OnnxGraph) -> None:
    """ReduceSum as ReduceMean times the number of terms: pnnx 20261020 loses axes that are an input, as ReduceSum's."""
    for operator in [operator for operator in graph.operators if operator.op_type == "ReduceSum"]:
        axes = graph.constants.get(operator.inputs[1]) if len(operator.inputs) > 1 else None
        if axes is None or graph.opset >= 18:   # from there on the axes of ReduceMean are an input as well
            continue
        x, result = operator.inputs[0], operator.outputs[0]
        terms = math.prod(graph.shape(x)[axis] for axis in axes)
        number = graph.add_constant(f"{operator.name}.terms", np.array(terms, graph.types[x].dtype))
        mean = graph.unique(f"{result}.mean")
        attributes = {"axes": axes.tolist(), "keepdims": operator.attributes.get("keepdims", 1)}
        average = Operator("ReduceMean", mean, [x], [mean], attributes)
        graph.add_operator(average, [graph.types[result]], before=operator)
        graph.rewrite(operator, "Mul", [mean, number], {})


def fold_constants(model: onnx.ModelProto) -> None:
    """Computes what is constant now that the shapes of the inputs are: pnnx refuses shapes that it cannot infer."""
    graph, opsets = model.graph, {entry.domain: entry.version for entry in model.opset_import}
    shapes = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in graph.input}
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if not _lies_elsewhere(tensor)}
    left = []
    for node in graph.node:
        if node.op_type == "Shape" and all(shapes.get(node.input[0], [0])):   # an open axis reads as 0
            limits = {attribute.name: attribute.i for attribute in node.attribute}
            known[node.output[0]] = np.array(shapes[node.input[0]][limits.get("start", 0):limits.get("end")], np.int64)
        elif _is_constant(node, known):
            known.update(zip(node.output, _evaluate(node, known, opsets), strict=True))
        else:
            left.append(node)
    read = {name for node in left for name in _names_read(node)} | {value.name for value in graph.output}
    held = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(numpy_helper.from_array(known[name], name) for name in sorted(read & known.keys() - held))
    del graph.node[:]
    graph.node.extend(left)


def _lies_elsewhere(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL


def _is_constant(node: onnx.NodeProto, known: dict[str, np.ndarray]) -> bool:
    """A body may read more than the node's inputs say, and without inputs there are random numbers; quantised weights
    stay what they are stored as."""
    alone = (bool(node.input) or node.op_type == "Constant") and not list_bodies(node)
    return alone and node.op_type not in QUANTIZING and all(name in known for name in node.input)


def _evaluate(node: onnx.NodeProto, known: dict[str, np.ndarray], opsets: dict[str, int]) -> list[np.ndarray]:
    results = [helper.make_empty_tensor_value_info(name) for name in node.output]
    evaluator = ReferenceEvaluator(helper.make_graph([node], node.op_type, [], results), opsets=opsets)
    return evaluator.run(None, {name: known[name] for name in node.input})


def _names_read(node: onnx.NodeProto) -> set[str]:
    """What a node and its bodies read."""
    inner = (_names_read(child) for body in list_bodies(node) for child in body.node)
    return set(node.input).union(*inner)


def _scale(graph: OnnxGraph, operator: Operator) -> float | None:
    """The constant number that an operator multiplies with from the right."""
    number = graph.constants.get(operator.inputs[1]) if operator.op_type == "Mul" else None
    return float(number.reshape(())) if number is not None and number.size == 1 else None


def _adds_erf(graph: OnnxGraph, name: str) -> bool:
    addition = graph.producer(name)
    terms = [graph.producer(term) for term in addition.inputs] if addition and addition.op_type == "Add" else []
    return any(term and term.op_type == "Erf" for term in terms)
