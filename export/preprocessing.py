"""Preprocessing inside the graph: an ONNX model of normalised float images becomes one of uint8 images, channels last."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from msnoah.errors import ConversionError

_PIXELS = "msnoah_pixels"


def embed_preprocessing(model: onnx.ModelProto, mean: Sequence[float], std: Sequence[float]) -> onnx.ModelProto:
    """Puts (pixel / 255 - mean) / std in front of a model whose first input is such an image.

    The input (N, C, H, W) float32 becomes (N, H, W, C) uint8 of the same name. A first convolution without padding, as a
    patch embedding is, takes the constants into its weights, exactly: W' = W / (255 std_c) for input channel c, and
    b' = b - sum over c, i, j of W mean_c / std_c. A padded one cannot: its padding is zero *after* normalising, which is no
    constant pixel value that folding could keep, so a Mul and an Add stand before it.

    Args:
        model: an ONNX model; it is not changed.
        mean, std: one number a channel, of pixels scaled to 0-1.

    Raises:
        ConversionError: the first input is no float32 image of len(mean) channels.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    image = graph.input[0]
    _make_channels_last(image, len(mean))
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == image.name:
                node.input[index] = _PIXELS
    scale = 1 / (255 * np.asarray(std, np.float64))
    shift = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    convolution = _foldable_convolution(graph)
    front = _take_uint8(image.name, _PIXELS if convolution else f"{_PIXELS}_0_255")
    if convolution:
        _fold(graph, convolution, scale, shift)
    else:
        front += _normalise(graph, scale, shift)
    nodes = [*front, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


def _make_channels_last(image: onnx.ValueInfoProto, channels: int) -> None:
    tensor = image.type.tensor_type
    dims = [onnx.TensorShapeProto.Dimension.FromString(dim.SerializeToString()) for dim in tensor.shape.dim]
    if tensor.elem_type != TensorProto.FLOAT or len(dims) != 4 or dims[1].dim_value != channels:
        shape = [dim.dim_param or dim.dim_value for dim in dims]
        raise ConversionError(f"input '{image.name}' has shape {shape}; expected a float32 image of {channels} channels, (N, C, H, W)")
    tensor.elem_type = TensorProto.UINT8
    for place, dim in zip(tensor.shape.dim, [dims[0], dims[2], dims[3], dims[1]]):
        place.CopyFrom(dim)


def _take_uint8(image: str, output: str) -> list[onnx.NodeProto]:
    # Transposed before the cast, since a quarter of the bytes move.
    return [
        helper.make_node("Transpose", [image], [f"{_PIXELS}_uint8"], "preprocessing/transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", [f"{_PIXELS}_uint8"], [output], "preprocessing/cast", to=TensorProto.FLOAT),
    ]


def _normalise(graph: onnx.GraphProto, scale: np.ndarray, shift: np.ndarray) -> list[onnx.NodeProto]:
    for name, values in (("scale", scale), ("shift", shift)):
        graph.initializer.append(_constant(f"{_PIXELS}_{name}", values.reshape(1, -1, 1, 1)))
    return [
        helper.make_node("Mul", [f"{_PIXELS}_0_255", f"{_PIXELS}_scale"], [f"{_PIXELS}_scaled"], "preprocessing/scale"),
        helper.make_node("Add", [f"{_PIXELS}_scaled", f"{_PIXELS}_shift"], [_PIXELS], "preprocessing/shift"),
    ]


def _foldable_convolution(graph: onnx.GraphProto) -> onnx.NodeProto | None:
    """The convolution that alone reads the pixels (their Shape apart), has no padding and constant weights; else None."""
    readers = [node for node in graph.node if _PIXELS in node.input and node.op_type != "Shape"]
    constants = {tensor.name for tensor in graph.initializer}
    if len(readers) != 1 or readers[0].op_type != "Conv" or not constants.issuperset(readers[0].input[1:]):
        return None
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in readers[0].attribute}
    padded = any(attributes.get("pads", ())) or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    return None if padded or attributes.get("group", 1) != 1 else readers[0]


def _fold(graph: onnx.GraphProto, convolution: onnx.NodeProto, scale: np.ndarray, shift: np.ndarray) -> None:
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    weight, *bias = (numpy_helper.to_array(tensors[name]).astype(np.float64) for name in convolution.input[1:])
    scaled = weight * scale[:, None, None]                                    # (K, C, kh, kw)
    shifted = (weight * shift[:, None, None]).sum((1, 2, 3)) + sum(bias)      # (K, C, kh, kw) -> (K,)
    graph.initializer.extend([_constant(f"{_PIXELS}_weight", scaled), _constant(f"{_PIXELS}_bias", shifted)])
    old = set(convolution.input[1:])
    convolution.ClearField("input")
    convolution.input.extend([_PIXELS, f"{_PIXELS}_weight", f"{_PIXELS}_bias"])
    unused = old - {name for node in graph.node for name in node.input} - {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name not in unused]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _constant(name: str, values: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)
