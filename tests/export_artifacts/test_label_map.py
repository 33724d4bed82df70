"""Labels of pixels without logits of pixels: those of a bilinear resize and ArgMax, at any size; what is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from msnoah.errors import ConversionError
from msnoah.export.label_map import as_label_map, with_full_logits
from msnoah.export.preprocessing import embed_preprocessing
from msnoah.export.verification import run_onnx

TIE = 1e-6
"""Relative to the largest logit of all: the logits of two classes are the same to a float32 sum of four products."""

def logits_model(classes: int, height: int, width: int, opset: int = 17) -> onnx.ModelProto:
    shape = f"float[batch, {classes}, {height}, {width}]"
    graph = parser.parse_graph(f"head ({shape} x) => ({shape} logits) {{ logits = Identity(x) }}")
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def resize(logits: np.ndarray, scale: int) -> np.ndarray:
    """(B, K, h, w) -> (B, K, scale * h, scale * w) in float64, half-pixel centres, edges repeated."""
    def matrix(size):
        at = np.clip((np.arange(size * scale) + 0.5) / scale - 0.5, 0, size - 1)
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size)))

    height, width = map(matrix, logits.shape[2:])
    return height @ logits.astype(np.float64) @ width.T


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


def objects(*shape: int) -> np.ndarray:
    """One class for certain nearly everywhere, as trained networks have it."""
    batch, classes, height, width = shape
    field = resize(noise(batch, classes, 2, 2), max(height, width) // 2 + 1)[:, :, :height, :width]
    return np.exp(3 * field).astype(np.float32)


SIZES = {   # classes, height, width, scale, batch
    "stride_8": (21, 9, 7, 8, 2), "one_place": (6, 1, 1, 8, 1), "one_row": (5, 1, 6, 2, 3),
    "odd_scale": (7, 4, 5, 3, 2), "no_scale": (3, 5, 2, 1, 2), "one_class": (1, 3, 3, 4, 1),
    "256_classes": (256, 3, 4, 4, 1), "257_classes": (257, 3, 4, 4, 2), "wide": (4, 2, 30, 16, 1),
}


@pytest.mark.parametrize("kind", [noise, objects])
@pytest.mark.parametrize("classes,height,width,scale,batch", SIZES.values(), ids=SIZES)
def test_labels_are_those_of_largest_resized_logits(classes, height, width, scale, batch, kind):
    model, logits = logits_model(classes, height, width), kind(batch, classes, height, width)
    (labels,) = run_onnx(as_label_map(model, scale))([logits])
    assert labels.dtype == (np.uint8 if classes <= 256 else np.uint16)
    assert labels.shape == (batch, scale * height, scale * width)
    full = resize(logits, scale)
    chosen = np.take_along_axis(full, labels[:, None].astype(np.int64), 1)[:, 0]
    assert (chosen >= full.max(1) - TIE * np.abs(full).max()).all()
    second = np.partition(full, -2, 1)[:, -2] if classes > 1 else np.full(chosen.shape, -np.inf)
    clear = second < full.max(1) - TIE * np.abs(full).max()
    assert clear.mean() > 0.999
    assert (labels == full.argmax(1))[clear].all()
    (plain,) = run_onnx(with_full_logits(model, scale, labels=True))([logits])
    assert (labels == plain)[clear].all()


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_of_classes_that_tie_the_lowest_wins(opset):
    logits = np.random.default_rng(2).integers(0, 2, (3, 6, 5, 7)).astype(np.float32)
    full = resize(logits, 4)   # sums of whole numbers of sixteenths, exact in float32
    assert ((full == full.max(1, keepdims=True)).sum(1) > 1).mean() > 0.2
    assert (run_onnx(as_label_map(logits_model(6, 5, 7, opset), 4))([logits])[0] == full.argmax(1)).all()


@pytest.mark.parametrize("value", [0.0, -0.0, np.nan, np.inf, -np.inf, np.finfo(np.float32).min])
def test_logits_that_say_nothing_have_labels_too(value):
    (labels,) = run_onnx(as_label_map(logits_model(5, 3, 4)))([np.full((2, 5, 3, 4), value, np.float32)])
    assert labels.shape == (2, 24, 32) and labels.max() < 5


def test_logits_that_are_not_numbers_here_and_there_leave_the_other_labels():
    logits = noise(1, 5, 6, 9)
    expected = resize(logits, 8).argmax(1)
    logits[0, :, 2, 3] = np.nan
    (labels,) = run_onnx(as_label_map(logits_model(5, 6, 9)))([logits])
    near = np.zeros((48, 72), bool)
    near[12:28, 20:36] = True
    assert (labels == expected)[0, ~near].all()


def test_no_tensor_is_larger_than_logits_of_cells_or_one_row_of_them():
    batch, classes, height, width, scale = 4, 12, 10, 3, 8
    model = as_label_map(logits_model(classes, height, width))
    names = [name for node in model.graph.node for name in node.output]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    values = dict(zip(names, run_onnx(model)([noise(batch, classes, height, width)])))
    cells = batch * (height + 1) * (width + 1)
    assert max(value.size for value in values.values()) == cells * scale ** 2   # one label a pixel
    (scan,) = [node for node in model.graph.node if node.op_type == "Scan"]
    body = next(helper.get_attribute_value(attribute) for attribute in scan.attribute if attribute.name == "body")
    assert [dim.dim_value for dim in body.output[0].type.tensor_type.shape.dim] == [width + 1, scale ** 2]


def test_logits_may_stay_and_full_ones_are_resized():
    model, logits = logits_model(4, 3, 5), noise(2, 4, 3, 5)
    labels, kept = run_onnx(as_label_map(model, keep_logits=True))([logits])
    (full,) = run_onnx(with_full_logits(model))([logits])
    assert (kept == logits).all()
    assert np.abs(full - resize(logits, 8)).max() <= TIE * np.abs(logits).max()
    assert (labels == full.argmax(1)).all()
    assert model == logits_model(4, 3, 5)


def pixel_model() -> onnx.ModelProto:
    """A padded convolution of stride 4 on normalised images of 24x32 pixels, whose tensors have a label map's names."""
    graph = parser.parse_graph("""
        net (float[batch, 3, 24, 32] image) => (float[batch, 9, 6, 8] logits) {
            upper = Conv<kernel_shape = [5, 5], pads = [2, 2, 1, 1], strides = [4, 4]>(image, weights)
            logits = Identity(upper)
        }""")
    graph.initializer.append(numpy_helper.from_array(noise(9, 3, 5, 5), "weights"))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_pixels_in_and_labels_out_whichever_is_embedded_first():
    model, mean, std = pixel_model(), np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.25])
    images = np.random.default_rng(2).integers(0, 256, (2, 24, 32, 3), np.uint8)
    whole = as_label_map(embed_preprocessing(model, mean, std), 4)
    types = [value.type.tensor_type for value in (*whole.graph.input, *whole.graph.output)]
    assert [type_.elem_type for type_ in types] == [TensorProto.UINT8] * 2
    assert [dim.dim_param or dim.dim_value for dim in types[1].shape.dim] == ["batch", 24, 32]
    (labels,) = run_onnx(whole)([images])
    assert (labels == run_onnx(embed_preprocessing(as_label_map(model, 4), mean, std))([images])[0]).all()
    normalised = ((images / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    expected = resize(run_onnx(model)([normalised])[0], 4).argmax(1)
    assert (labels != expected).mean() < 1e-3   # ties, after pixels were normalised in another order


def with_output(*shape, kind=TensorProto.FLOAT) -> onnx.ModelProto:
    model = logits_model(4, 3, 5)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", kind, shape))
    return model


def with_two_outputs() -> onnx.ModelProto:
    model = logits_model(4, 3, 5)
    model.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 3, 5]))
    return model


REFUSED = {
    "image_labels": (with_output("batch", 4), 8, r"output logits \['batch', 4\]: expected float32 logits"),
    "free_size": (with_output("batch", 4, "h", "w"), 8, r"\['batch', 4, 'h', 'w'\]: expected"),
    "unknown_size": (with_output("batch", 4, None, 5), 8, r"\['batch', 4, '\?', 5\]: expected"),
    "labels_already": (with_output("batch", 4, 3, 5, kind=TensorProto.INT64), 8, "float32"),
    "two_outputs": (with_two_outputs(), 8, "output logits, x "),
    "scale": (logits_model(4, 3, 5), 0, "scale=0: expected"),
}


@pytest.mark.parametrize("change", [as_label_map, with_full_logits])
@pytest.mark.parametrize("model,scale,message", REFUSED.values(), ids=REFUSED)
def test_what_has_no_label_map_is_refused(model, scale, message, change):
    with pytest.raises(ConversionError, match=message):
        change(model, scale)
