"""RoIAlign against one point after the other in numpy, and that against ONNX Runtime's own operator."""

import math

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import Tensor
from onnx import TensorProto, helper

from msnoah.errors import ModelError
from msnoah.nn.roi_align import RoIAlign
from tests.goldens.slab_goldens import relative_error

GATE = 1e-6   # float32 sums of at most 16 products
MAPS = np.random.default_rng(0).standard_normal((2, 3, 12, 16)).astype(np.float32)   # of images of 96 x 128 pixels
INSIDE = [[0, 10, 20, 100, 90], [1, 0, 0, 128, 96], [1, 50, 60, 60, 70], [0, 64, 0, 128, 32]]
OUTSIDE = [[0, -20, -30, 40, 30], [1, 100, 60, 160, 130], [0, 5, 5, 5, 5], [1, 60, 60, 50, 50]]
BOXES = np.array(INSIDE + OUTSIDE, np.float32)


def align(maps: np.ndarray, boxes: np.ndarray, bins: int, samples: int) -> np.ndarray:
    """Mean over the points of every bin, each interpolated from its four pixels. -> (R, C, bins, bins)"""
    out = np.zeros((len(boxes), maps.shape[1], bins, bins))
    for row, (image, *corners) in enumerate(boxes):
        x1, y1, x2, y2 = (corner / 8 - 0.5 for corner in corners)
        steps = ((y2 - y1) / bins, (x2 - x1) / bins)
        counts = [samples or max(math.ceil(step), 0) for step in steps]
        for i, j, p, q in np.ndindex(bins, bins, *counts):
            y, x = (low + (place + (point + 0.5) / count) * step for low, place, point, count, step in
                    ((y1, i, p, counts[0], steps[0]), (x1, j, q, counts[1], steps[1])))
            out[row, :, i, j] += interpolate(maps[int(image)], y, x) / math.prod(counts)
    return out


def interpolate(image: np.ndarray, y: float, x: float) -> np.ndarray:
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    (a, b), (c, d) = image[:, top:top + 2, left:left + 2].transpose(1, 2, 0)
    return (a * (left + 1 - x) + b * (x - left)) * (top + 1 - y) + (c * (left + 1 - x) + d * (x - left)) * (y - top)


@pytest.mark.parametrize("bins, samples", [(4, 0), (5, 0), (4, 1), (3, 2)])
def test_against_one_point_after_the_other(bins, samples):
    found = RoIAlign(bins, 1 / 8, samples)(Tensor(MAPS), Tensor(BOXES)).asnumpy()
    expected = align(MAPS, BOXES, bins, samples)
    assert relative_error(found, expected) <= GATE
    assert np.abs(expected).max((1, 2, 3)).min() > 0 or samples == 0    # without extent and samples there are no points


@pytest.mark.parametrize("samples", [0, 2])
def test_reference_is_what_onnx_runtime_computes(samples):
    node = helper.make_node("RoiAlign", ["x", "boxes", "image"], ["y"], output_height=4, output_width=4,
                            spatial_scale=1 / 8, sampling_ratio=samples, coordinate_transformation_mode="half_pixel")
    boxes = np.array(INSIDE + OUTSIDE[:2], np.float32)
    shapes = {"x": MAPS.shape, "boxes": (len(boxes), 4), "y": (len(boxes), 3, 4, 4)}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    image = helper.make_tensor_value_info("image", TensorProto.INT64, [len(boxes)])
    graph = helper.make_graph([node], "align", [values["x"], values["boxes"], image], [values["y"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"x": MAPS, "boxes": boxes[:, 1:], "image": boxes[:, 0].astype(np.int64)}
    found, = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    assert relative_error(found, align(MAPS, boxes, 4, samples)) <= GATE


def test_gradient_is_the_adjoint_of_sampling():
    """y is linear in the maps, so for weights w of the outputs, <grad of <w, y>, any maps d> = <w, y of d>."""
    rng = np.random.default_rng(1)
    weights, direction = rng.standard_normal((len(BOXES), 3, 4, 4)), rng.standard_normal(MAPS.shape)
    cell, boxes, w = RoIAlign(4, 1 / 8), Tensor(BOXES), Tensor(weights.astype(np.float32))

    def loss(maps):
        return (cell(maps, boxes) * w).sum()

    gradient = ms.grad(loss)(Tensor(MAPS)).asnumpy()
    assert (gradient * direction).sum() == pytest.approx((weights * align(direction, BOXES, 4, 0)).sum(), rel=1e-5)


@pytest.mark.parametrize("message, changes", {
    "bins=0": {"bins": 0}, "scale=0": {"scale": 0}, "samples=-1": {"samples": -1}, "samples=1.5": {"samples": 1.5},
}.items())
def test_arguments_that_make_no_sense_are_refused(message, changes):
    with pytest.raises(ModelError, match=message):
        RoIAlign(**changes)
