"""What is done to each channel, taken into the weights of the layer before or behind it."""

import numpy as np

from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.channel_affines import Affine, read_affine
from msnoah.export.passes.gelus import ends_gelu
from msnoah.export.passes.linear_layers import Layer, find_layer, read_layer


def fold_batch_norms(graph: OnnxGraph) -> bool:
    """Folds BatchNormalization into the convolution or product before it: a (x W + b) + c = x (a W) + (a b + c)."""
    return any([_fold_back(graph, operator) for operator in graph.operators.copy()
                if operator.op_type == "BatchNormalization"])


def fold_channel_affines(graph: OnnxGraph) -> bool:
    """Folds Add, Sub, Mul and Div with a number for each channel into the convolution, product or normalisation
    before them."""
    return any([_fold_back(graph, operator) for operator in graph.operators.copy()
                if operator.op_type in ("Add", "Sub", "Mul", "Div")])


def fold_affines_ahead(graph: OnnxGraph) -> bool:
    """Folds what is done to each channel into the convolution or product behind it: (a x + c) W = x (a W) + c W.

    Exact only where nothing is padded or nothing added: padding puts zeros where the addend would have been. The factor
    1/2 that ends a GELU stays: ONNX Runtime runs the whole pattern as one kernel.
    """
    return any([_fold_ahead(graph, operator) for operator in graph.operators.copy()
                if operator.op_type in ("Conv", "ConvTranspose", "MatMul")])


def _fold_back(graph: OnnxGraph, operator: Operator) -> bool:
    x = next((name for name in operator.inputs if name not in graph.constants), None)
    if x and _fold_into_parts(graph, operator, x):
        return True
    layer = find_layer(graph, x) if x else None
    affine = read_affine(graph, operator, layer.axis % len(graph.shape(x))) if layer else None
    if affine is None or affine.x != x or not _is_finite(affine):
        return False
    if layer.operator.op_type == "MatMul" and layer.addition is None and affine.shift.any():
        # The shift stays as the Add that a product's bias is.
        return operator.op_type != "Add" and _leave_shift(graph, operator, layer, affine)
    layer.change_outputs(affine.scale, affine.shift)
    layer.write()
    return graph.bypass(operator, x)


def _fold_into_parts(graph: OnnxGraph, operator: Operator, x: str) -> bool:
    """What is done to the channels of joined convolutions, each its share."""
    concat = graph.producer(x)
    if concat is None or concat.op_type != "Concat" or graph.only_user(x) is None:
        return False
    layers = [find_layer(graph, name) for name in concat.inputs]
    if any(layer is None or layer.operator.op_type not in ("Conv", "ConvTranspose") for layer in layers):
        return False
    affine = read_affine(graph, operator, 1) if concat.attributes["axis"] % len(graph.shape(x)) == 1 else None
    if affine is None or affine.x != x or not _is_finite(affine):
        return False
    stops = np.cumsum([graph.shape(name)[1] for name in concat.inputs])[:-1]
    shares = zip(layers, np.split(affine.scale, stops), np.split(affine.shift, stops), strict=True)
    for layer, scale, shift in shares:
        layer.change_outputs(scale, shift)
        layer.write()
    return graph.bypass(operator, x)


def _leave_shift(graph: OnnxGraph, operator: Operator, layer: Layer, affine: Affine) -> bool:
    layer.change_outputs(affine.scale, np.zeros_like(affine.shift))
    layer.write()
    graph.rewrite(operator, "Add", [affine.x, _shift(graph, operator, affine.shift)], {})
    return True


def _fold_ahead(graph: OnnxGraph, operator: Operator) -> bool:
    x, layer = operator.inputs[0], read_layer(graph, operator)
    source = graph.producer(x)
    if source is None or layer is None or graph.only_user(x) is None:
        return False
    affine = read_affine(graph, source, layer.axis % len(graph.shape(x)))
    if affine is None or not _is_finite(affine) or ends_gelu(graph, affine.x):
        return False
    if affine.shift.any() and not _takes_shift(operator, source):
        return False
    layer.change_inputs(affine.scale, affine.shift)
    bias, layer.bias = layer.bias, layer.bias if operator.op_type != "MatMul" else None
    layer.write()
    graph.set_input(operator, 0, affine.x)
    if operator.op_type == "MatMul" and bias is not None:
        _add_behind(graph, operator, bias)
    graph.remove(source)
    return True


def _takes_shift(operator: Operator, source: Operator) -> bool:
    """Whether what is added before a layer can be added to its result: one number a channel, at the borders too. An Add
    alone before a product would only change places with it."""
    if operator.op_type == "MatMul":
        return source.op_type == "BatchNormalization"
    return operator.op_type == "Conv" and not any(operator.attributes.get("pads", ())) and (
        operator.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID", b"NOTSET", b"VALID"))


def _add_behind(graph: OnnxGraph, product: Operator, bias: np.ndarray) -> None:
    """Adds a bias to the result of a product, under the name that the result had."""
    output = product.outputs[0]
    name = graph.unique(f"{product.name}.product")
    inner = Operator("MatMul", name, list(product.inputs), [name], {})
    graph.add_operator(inner, [TensorType(graph.types[output].dtype, graph.shape(output))], before=product)
    graph.rewrite(product, "Add", [name, _shift(graph, product, bias)], {})


def _shift(graph: OnnxGraph, operator: Operator, shift: np.ndarray) -> str:
    return graph.add_constant(f"{operator.name}.bias", shift.astype(graph.types[operator.outputs[0]].dtype))


def _is_finite(affine: Affine) -> bool:
    return bool(np.isfinite(affine.scale).all() and np.isfinite(affine.shift).all())
