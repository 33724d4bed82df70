"""Preprocessing inside the graph: an ONNX model of normalised float images becomes one of uint8 pixels, channels last."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from msnoah.errors import ConversionError

Dimension = onnx.TensorShapeProto.Dimension

_PIXELS = "msnoah_pixels"
_UINT8 = f"{_PIXELS}_uint8"


def embed_preprocessing(
    model: onnx.ModelProto, mean: Sequence[float], std: Sequence[float], *, frames: int | None = None,
) -> onnx.ModelProto:
    """Puts (pixel / 255 - mean) / std in front of a model whose first input is such an image.

    The input (N, C, H, W) float32 becomes (N, H, W, C) uint8 of the same name. A first convolution without padding, as a
    patch embedding is, takes the constants into its weights, exactly: W' = W / (255 std_c) for input channel c, and
    b' = b - sum over c, i, j of W mean_c / std_c. A padded one cannot: its padding is zero *after* normalising, which is no
    constant pixel value that folding could keep, so a Mul and an Add stand before it.

    Args:
        model: an ONNX model; it is not changed.
        mean, std: one number a channel, of pixels scaled to 0-1.
        frames: of a clip T, if the model's images are clips whose channel c of frame t is channel c * T + t; the input
            becomes (N, T, H, W, C), and no other tensor has five axes.

    Raises:
        ConversionError: the first input is no float32 image of len(mean) channels, or of len(mean) * frames.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    image = graph.input[0]
    front = _take_images(image, len(mean)) if frames is None else _take_clips(graph, image, len(mean), frames)
    _let_readers_read(graph, image.name, _PIXELS)
    scale = np.repeat(1 / (255 * np.asarray(std, np.float64)), frames or 1)
    shift = np.repeat(-np.asarray(mean, np.float64) / np.asarray(std, np.float64), frames or 1)
    convolution = _foldable_convolution(graph)
    # Transposed before the cast, since a quarter of the bytes move.
    output = _PIXELS if convolution else f"{_PIXELS}_0_255"
    front.append(helper.make_node("Cast", [_UINT8], [output], "preprocessing/cast", to=TensorProto.FLOAT))
    if convolution:
        _fold(graph, convolution, scale, shift)
    else:
        front += _normalise(graph, scale, shift)
    nodes = [*front, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


def _let_readers_read(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def _take_images(image: onnx.ValueInfoProto, channels: int) -> list[onnx.NodeProto]:
    """The input becomes (N, H, W, C) uint8; its transpose is (N, C, H, W)."""
    batch, _, height, width = _read_dims(image, channels)
    _make_pixels(image, [batch, height, width, _size(channels)])
    return [helper.make_node("Transpose", [image.name], [_UINT8], "preprocessing/transpose", perm=[0, 3, 1, 2])]


def _take_clips(graph: onnx.GraphProto, image: onnx.ValueInfoProto, channels: int, frames: int) -> list[onnx.NodeProto]:
    """The input becomes (N, T, H, W, C) uint8; through (N, T, H * W, C) and (N, C, T, H * W) it is (N, C * T, H, W)."""
    batch, _, height, width = _read_dims(image, channels * frames)
    _make_pixels(image, [batch, _size(frames), height, width, _size(channels)])
    rows, columns = height.dim_value, width.dim_value
    shapes = {"flat": (0, frames, rows * columns, channels), "squeezed": (0, frames * channels, rows, columns)}
    for name, shape in shapes.items():
        graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"{_PIXELS}_{name}_shape"))
    flat, turned = f"{_PIXELS}_flat", f"{_PIXELS}_turned"
    return [
        helper.make_node("Reshape", [image.name, f"{_PIXELS}_flat_shape"], [flat], "preprocessing/flatten"),
        helper.make_node("Transpose", [flat], [turned], "preprocessing/transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Reshape", [turned, f"{_PIXELS}_squeezed_shape"], [_UINT8], "preprocessing/squeeze"),
    ]


def _read_dims(image: onnx.ValueInfoProto, channels: int) -> list[Dimension]:
    tensor = image.type.tensor_type
    dims = [Dimension.FromString(dim.SerializeToString()) for dim in tensor.shape.dim]
    if tensor.elem_type != TensorProto.FLOAT or len(dims) != 4 or dims[1].dim_value != channels:
        shape = [dim.dim_param or dim.dim_value for dim in dims]
        raise ConversionError(f"input '{image.name}' has shape {shape}; expected a float32 image of {channels} channels, (N, C, H, W)")
    return dims


def _make_pixels(image: onnx.ValueInfoProto, dims: list[Dimension]) -> None:
    image.type.tensor_type.elem_type = TensorProto.UINT8
    del image.type.tensor_type.shape.dim[:]
    image.type.tensor_type.shape.dim.extend(dims)


def _size(count: int) -> Dimension:
    return Dimension(dim_value=count)


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
