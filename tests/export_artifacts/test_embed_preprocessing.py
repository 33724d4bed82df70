"""Preprocessing in the graph equals preprocessing before it, folded or not."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from msnoah.errors import ConversionError
from msnoah.export.preprocessing import embed_preprocessing
from msnoah.export.verification import run_onnx

COLOR = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
GREY = ([0.2860], [0.3530])


def convolution_model(channels=3, *, bias=True, group=1, batch="batch", **attributes) -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(6, channels // group, 4, 4)).astype(np.float32)
    constants = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(rng.normal(size=6).astype(np.float32), "bias")]
    inputs = ["image", "weight"] + ["bias"] * bias
    nodes = [
        helper.make_node("Conv", inputs, ["features"], kernel_shape=[4, 4], strides=[4, 4], group=group, **attributes),
        helper.make_node("Shape", ["image"], ["shape"], start=0, end=1),
        helper.make_node("Concat", ["shape", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["features", "flat"], ["logits"]),
    ]
    constants = constants[:1 + bias] + [numpy_helper.from_array(np.array([-1]), "rest")]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, channels, 16, 16])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, None])
    graph = helper.make_graph(nodes, "tiny", [image], [logits], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def pixels(batch: int, channels: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (batch, 16, 16, channels), np.uint8)


def normalised(images: np.ndarray, mean, std) -> np.ndarray:
    values = (images.astype(np.float64) / 255 - np.array(mean)) / np.array(std)
    return values.transpose(0, 3, 1, 2).astype(np.float32)


PAD = {"pads": [1, 1, 1, 1]}
CASES = {
    "patches": (COLOR, 3, {}, True),
    "patches_without_bias": (COLOR, 3, {"bias": False}, True),
    "grey_patches": (GREY, 1, {}, True),
    "valid": (COLOR, 3, {"auto_pad": "VALID"}, True),
    "no_pads": (COLOR, 3, {"pads": [0, 0, 0, 0]}, True),
    "padded": (COLOR, 3, PAD, False),
    "padded_grey": (GREY, 1, PAD, False),
    "same": (COLOR, 3, {"auto_pad": "SAME_UPPER"}, False),
    "depthwise": (COLOR, 3, {"group": 3}, False),
}


@pytest.mark.parametrize("constants,channels,attributes,folded", CASES.values(), ids=CASES)
@pytest.mark.parametrize("batch", [1, 5])
def test_uint8_images_give_what_normalised_ones_give(constants, channels, attributes, folded, batch):
    model = convolution_model(channels, **attributes)
    embedded = embed_preprocessing(model, *constants)
    assert [dim.dim_param or dim.dim_value for dim in embedded.graph.input[0].type.tensor_type.shape.dim] == ["batch", 16, 16, channels]
    assert embedded.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert ("Mul" not in [node.op_type for node in embedded.graph.node]) == folded
    images = pixels(batch, channels)
    expected, found = run_onnx(model)([normalised(images, *constants)])[0], run_onnx(embedded)([images])[0]
    # Sums of 48 float32 products of both signs, in another order and of weights rounded once more.
    assert np.abs(found - expected).max() <= 5e-6 * np.abs(expected).max()


def test_the_model_given_stays_as_it_is_and_old_weights_go():
    model = convolution_model()
    before = model.SerializeToString()
    embedded = embed_preprocessing(model, *COLOR)
    assert model.SerializeToString() == before
    assert {tensor.name for tensor in embedded.graph.initializer}.isdisjoint({"weight", "bias"})


def test_a_weight_that_others_use_stays_whole():
    model = convolution_model()
    model.graph.node.append(helper.make_node("ReduceSum", ["weight"], ["total"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("total", TensorProto.FLOAT, []))
    embedded = embed_preprocessing(model, *COLOR)
    weight = numpy_helper.to_array(model.graph.initializer[0])
    np.testing.assert_allclose(run_onnx(embedded)([pixels(1, 3)])[1], weight.sum(), rtol=1e-4)  # a float32 sum of 288 numbers near 0


def test_input_that_is_no_image_of_these_channels():
    with pytest.raises(ConversionError, match=r"\['batch', 1, 16, 16\]; expected a float32 image of 3 channels"):
        embed_preprocessing(convolution_model(1), *COLOR)
