"""The detector: published names at full size; small, it trains, fuses, and computes the same in ONNX for any boxes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from msnoah.errors import ModelError
from msnoah.export import export_onnx, make_axes_dynamic
from msnoah.export.verification import run_onnx
from msnoah.models.squeezetime_detection import BoxHead, FrameMean
from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import count_parameters, draw_drops, prepare_drops, weights
from msnoah.registry import create_model
from msnoah.training.detection_losses import multi_label_loss
from tests.goldens.slab_goldens import published_name, relative_error
from tests.goldens.squeezetime_goldens import CONTRACT, fill_squeezetime

GATE = 1e-5   # folding and ONNX Runtime's sums each round once more
SMALL = {"num_classes": 5, "num_frames": 4, "image_size": 32, "depth": 10, "base_width": 8,
         "position_sizes": (8, 4, 2, 1)}
CLIPS = np.random.default_rng(0).standard_normal((2, 3, 4, 32, 32)).astype(np.float32)
BOXES = {
    "people": [[0, 1, 2, 20, 30], [1, 4, 0, 15, 31], [1, 18, 9, 30, 27]],
    "one clip alone": [[1, 0, 0, 32, 32], [1, 15.5, 3.25, 16, 31], [1, 8, 8, 24, 24]],
    "beyond the border": [[0, -9, -5, 12, 40], [0, 20, 20, 50, 50], [1, 20, -4, 31, 20]],
    "empty": [[0, 0, 0, 0, 0], [1, 7, 7, 7, 20], [0, 20, 20, 10, 10]],
}


@pytest.fixture(scope="module")
def detector() -> nn.Cell:
    model = create_model("squeezetime_r50_ava", **SMALL)
    fill_squeezetime(model)
    return model


def test_weights_have_the_published_names_at_full_size():
    """AVA's backbone is the recogniser's, but that its last stage has no stride, so nothing to shrink a map with."""
    model = create_model("squeezetime_r50_ava")
    published = {name: shape for name, shape in CONTRACT["state_dict"] if ".layer4.0.downsample." not in name}
    published["roi_head.bbox_head.fc_cls.weight"], published["roi_head.bbox_head.fc_cls.bias"] = [81, 128], [81]
    del published["cls_head.fc_cls.weight"], published["cls_head.fc_cls.bias"]
    assert {published_name(n): list(parameter.shape) for n, parameter in weights(model).items()} == published
    assert round(count_parameters(model.backbone) / 1e6, 3) == 28.880
    assert (model.roi_head.align.bins, model.roi_head.align.scale, model.roi_head.align.samples) == (8, 1 / 16, 0)


def test_fused_detector_computes_the_same_in_onnx_for_any_boxes(detector):
    fused = fuse(detector)
    assert nn.BatchNorm2d not in {type(cell) for _, cell in fused.cells_and_names()}
    graph = export_onnx(fused, CLIPS, np.array(BOXES["people"], np.float32), dynamic=())
    assert not {"BatchNormalization", "Dropout"} & {node.op_type for node in graph.graph.node}
    every_box = np.array(sum(BOXES.values(), []), np.float32)
    expected = detector(Tensor(CLIPS), Tensor(every_box)).asnumpy()
    assert detector.input_shapes() == [[1, *CLIPS.shape[1:]], [1, 5]]
    as_images = Tensor(CLIPS.reshape(2, 12, 32, 32))
    assert relative_error(fused(as_images, Tensor(every_box)).asnumpy(), expected) <= GATE
    run = run_onnx(graph)
    for place, (name, boxes) in enumerate(BOXES.items()):
        found, = run([CLIPS, np.array(boxes, np.float32)])
        assert relative_error(found, expected[3 * place:3 * place + 3]) <= GATE, name
    assert len(np.unique(expected[:9], axis=0)) == 9
    bias = detector.roi_head.bbox_head.fc_cls.bias.asnumpy()
    assert np.array_equal(expected[9:], np.tile(bias, (3, 1)))              # of empty boxes


def test_one_graph_takes_any_number_of_boxes(detector):
    head, rng = fuse(detector.roi_head), np.random.default_rng(1)
    maps, boxes = rng.standard_normal((2, 64, 2, 2)).astype(np.float32), rng.uniform(0, 32, (7, 5)).astype(np.float32)
    boxes[:, 0] = [0, 1, 1, 0, 1, 0, 0]
    boxes[:, 3:] += boxes[:, 1:3]
    graph = make_axes_dynamic([export_onnx(head, maps, boxes[:count], dynamic=()) for count in (3, 4)], ["boxes"])
    for count in (1, 7):
        expected = head(Tensor(maps), Tensor(boxes[:count])).asnumpy()
        assert relative_error(run_onnx(graph)([maps, boxes[:count]])[0], expected) <= GATE


def test_a_step_lowers_the_loss_and_reaches_the_first_layer():
    model = create_model("squeezetime_r50_ava", **SMALL)
    boxes = Tensor(np.array(BOXES["people"], np.float32))
    labels = Tensor(np.array([[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]], np.float32))
    prepare_drops(model, 3)
    draw_drops(model, np.random.default_rng(0))
    model.set_train()
    optimizer = nn.SGD(model.trainable_params(), 0.1)

    def loss(clips):
        return multi_label_loss(model(clips, boxes), labels)

    first, gradients = ms.value_and_grad(loss, None, optimizer.parameters)(Tensor(CLIPS))
    optimizer(gradients)
    by_name = {p.name: np.abs(g.asnumpy()).max() for p, g in zip(optimizer.parameters, gradients)}
    assert by_name["backbone.net.conv1.weight"] > 0 and by_name["roi_head.bbox_head.fc_cls.weight"] > 0
    assert float(loss(Tensor(CLIPS))) < float(first) and abs(float(first) - np.log(2)) < 0.05   # logits start near 0


def test_channels_are_features_before_frames():
    maps = np.random.default_rng(0).standard_normal((2, 12, 3, 5)).astype(np.float32)
    expected = maps.reshape(2, 3, 4, 3, 5).mean(2)
    assert relative_error(FrameMean(4)(Tensor(maps)).asnumpy(), expected) <= 1e-6   # float32 mean of four


def test_the_head_sees_the_largest_value_of_each_feature():
    head, boxes = BoxHead(6, 4, 0.5), np.random.default_rng(0).standard_normal((3, 6, 2, 5)).astype(np.float32)
    expected = boxes.max((2, 3)) @ head.fc_cls.weight.asnumpy().T + head.fc_cls.bias.asnumpy()
    assert relative_error(head(Tensor(boxes)).asnumpy(), expected) <= 1e-6          # float32 sums of six


@pytest.mark.slow
def test_full_size_detector_computes_the_same_in_onnx():
    detector, rng = create_model("squeezetime_r50_ava"), np.random.default_rng(0)
    fill_squeezetime(detector)
    clip = rng.standard_normal((1, 3, 16, 256, 256)).astype(np.float32)
    boxes = np.array([[0, 20, 30, 120, 250], [0, 0, 0, 256, 256], [0, 130, 60, 200, 180]], np.float32)
    expected = detector(Tensor(clip), Tensor(boxes)).asnumpy()
    graph = export_onnx(fuse(detector), clip, boxes, dynamic=())
    assert relative_error(run_onnx(graph)([clip, boxes])[0], expected) <= GATE


@pytest.mark.parametrize("message, changes", {
    "channels of the last stage=64 is not divisible by num_frames=5": {"num_frames": 5},
    "num_classes=0": {"num_classes": 0}, "dropout=1": {"dropout": 1}, "bins=0": {"box_bins": 0},
}.items())
def test_sizes_that_do_not_fit_are_refused(message, changes):
    with pytest.raises(ModelError, match=message):
        create_model("squeezetime_r50_ava", **{**SMALL, **changes})
