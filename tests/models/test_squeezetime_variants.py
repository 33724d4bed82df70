"""Every depth of SqueezeTime, small: it fuses, exports, trains, takes other sizes and refuses what does not fit."""

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import nn, ops

from msnoah.errors import ModelError
from msnoah.export import export_onnx
from msnoah.models.squeezetime import SqueezeTimeNet
from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import BUFFERS, count_parameters, draw_drops, prepare_drops, weights
from msnoah.registry import create_model, list_models
from tests.goldens.slab_goldens import relative_error
from tests.goldens.squeezetime_goldens import fill_squeezetime

GATE = 1e-5  # folding rounds each weight once more, ONNX Runtime sums in another order
SMALL = {"num_classes": 3, "image_size": 32, "num_frames": 4, "base_width": 8}
NAMES = [name for name in list_models("squeezetime_*") if name.count("_") == 1]   # recognisers alone
ONE_OF_EACH_BLOCK = ["squeezetime_r10", "squeezetime_r50"]
# parameters with 400 classes, and multiply-adds in billions
COUNTS = {
    "squeezetime_r10": (7_311_984, 2.128), "squeezetime_r18": (16_466_704, 3.478),
    "squeezetime_r34": (31_405_104, 6.035), "squeezetime_r50": (29_706_688, 5.483),
    "squeezetime_r101": (53_580_128, 9.703), "squeezetime_r152": (73_403_392, 14.010),
}
WRONG = {
    "num_classes=0": {"num_classes": 0},
    "num_frames=0": {"num_frames": 0},
    "depth=20: expected one of 10, 18": {"depth": 20},
    "spatial_strides=\\[1, 2, 2\\]: expected 4": {"spatial_strides": [1, 2, 2]},
    "spatial_strides=\\[1, 2, 2, 0\\]": {"spatial_strides": [1, 2, 2, 0]},
    "position_sizes=7: expected 4": {"position_sizes": 7},
    "dropout=1.0": {"dropout": 1.0},
    "image_size=16: .* leave nothing of its map of 4x4": {"image_size": 16},
}


def slow_but(*names: str) -> list:
    """All models, of which those not named are slow tests."""
    return [name if name in names else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


def small(name: str = "squeezetime_r10", **changes) -> nn.Cell:
    return create_model(name, **{**SMALL, **changes})


def clips(count: int = 2, frames: int = 4, size: int = 32) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 3, frames, size, size)).astype(np.float32)


@pytest.mark.parametrize("name", slow_but(*ONE_OF_EACH_BLOCK))
def test_fused_model_and_its_onnx_form_compute_the_same_without_norms(name):
    model, x = small(name), clips()
    fill_squeezetime(model)
    expected, names = model(ms.Tensor(x)).asnumpy(), list(weights(model))
    fused = fuse(model)
    assert list(weights(model)) == names
    assert not {"BatchNorm2d", "Dropout"} & {type(cell).__name__ for _, cell in fused.cells_and_names()}
    graph = export_onnx(fused, x, dynamic=())   # a free batch would compile twice
    kinds = {node.op_type for node in graph.graph.node}
    assert not {"BatchNormalization", "Resize", "Pad"} & kinds
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found, = session.run(None, {session.get_inputs()[0].name: x})
    assert relative_error(found, expected) <= GATE


def training(model: nn.Cell, x: ms.Tensor):
    """A function that takes a training step and gives the loss before it."""
    prepare_drops(model, x.shape[0])
    draw_drops(model, np.random.default_rng(0))
    model.set_train()
    learnt = [parameter for parameter in weights(model).values() if parameter.requires_grad]
    optimizer, targets = nn.Momentum(learnt, 0.01, 0.9), ms.Tensor(np.arange(x.shape[0], dtype=np.int32))

    def loss(clips):
        return ops.cross_entropy(model(clips), targets)

    gradients = ms.value_and_grad(loss, None, learnt)

    def step(clips):
        value, found = gradients(clips)
        optimizer(found)
        return value

    return step


@pytest.mark.parametrize("name", slow_but("squeezetime_r10"))
def test_loss_of_one_batch_falls_over_a_few_steps(name):
    ms.set_seed(0)
    x = ms.Tensor(clips())
    step = training(small(name, dropout=0.2), x)
    losses = [float(step(x).asnumpy()) for _ in range(3)]
    assert losses[2] < 0.9 * losses[0]


def first_step(name: str, x: ms.Tensor, mode) -> list[np.ndarray]:
    """Loss, gradients, and batch statistics after them, each in one array."""
    model = small(name, image_size=64, dropout=0.0)
    fill_squeezetime(model)
    model.set_train()

    def loss(clips):
        return (model(clips) ** 2).mean()

    learnt = [parameter for parameter in weights(model).values() if parameter.requires_grad]
    value, gradients = mode(ms.value_and_grad(loss, None, learnt))(x)
    statistics = [parameter for name, parameter in weights(model).items() if name.endswith(BUFFERS)]
    return [np.concatenate([tensor.asnumpy().reshape(-1) for tensor in part])
            for part in ([value], gradients, statistics)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH_BLOCK)
def test_compiled_training_step_has_the_loss_gradients_and_statistics_of_an_eager_one(name):
    x = ms.Tensor(clips(6, size=64))    # two clips, of one place in stage 4, have no stable gradients
    eager, compiled = (first_step(name, x, mode) for mode in (lambda step: step, ms.jit))
    for found, expected in zip(compiled, eager):
        assert relative_error(found, expected) <= GATE


@pytest.mark.parametrize("depth", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_backbone_gives_the_maps_of_all_stages_at_any_size(depth):
    net = SqueezeTimeNet(2, 3, 37, depth, 4, (1, 2, 2, 1), (8, 5, 3, 3))
    fill_squeezetime(net)
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 37, 37)).astype(np.float32)
    maps = [stage.asnumpy() for stage in net(ms.Tensor(x))]
    assert [stage.shape for stage in maps] == [(1, c, s, s) for c, s in zip(net.out_channels, net.map_sizes)]
    assert net.map_sizes == [10, 5, 2, 2] and net.out_channels[3] == {10: 32, 50: 128}[depth]
    squeezed = net(ms.Tensor(x.reshape(1, 6, 37, 37)))
    assert all(np.array_equal(a, b.asnumpy()) for a, b in zip(maps, squeezed))
    names = list(weights(net))
    assert "layer3.0.downsample.0.weight" in names and not any(n.startswith("layer4.0.downsample") for n in names)
    fused = fuse(net)(ms.Tensor(x))
    assert all(relative_error(b.asnumpy(), a) <= GATE for a, b in zip(maps, fused))


def test_clips_of_another_size_have_their_positions_resized_and_other_clips_are_refused():
    model = small(image_size=64)
    assert model(ms.Tensor(clips(size=32))).shape == (2, 3)
    with pytest.raises(RuntimeError, match="C_in"):
        model(ms.Tensor(clips(frames=6))).asnumpy()     # six frames of two clips are as many as four frames of three
    model.set_train()
    for compute in (model, ms.jit(model)):
        with pytest.raises(ValueError, match="at least 2 clips, found 1"):
            compute(ms.Tensor(clips(1)))
    assert all(np.isfinite(parameter.asnumpy()).all() for parameter in weights(model).values())


def test_initial_weights_follow_the_recipe():
    values = {name: parameter.asnumpy() for name, parameter in weights(small(base_width=64, num_classes=50)).items()}
    head, conv = values["cls_head.fc_cls.weight"], values["backbone.net.layer2.0.conv2.spatial_conv.short_conv.weight"]
    assert 0.009 < head.std() < 0.011 and not values["cls_head.fc_cls.bias"].any()
    assert abs(conv.std() / np.sqrt(2 / (128 * 9)) - 1) < 0.05      # He's normal over outgoing connections
    assert 0.015 < values["backbone.net.layer1.0.conv1.spatial_conv.pos_embed"].std() < 0.025


@pytest.mark.parametrize("message", WRONG)
def test_sizes_that_do_not_fit_are_refused_by_name_and_value(message):
    with pytest.raises(ModelError, match=message):
        small(**WRONG[message])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_multiply_adds_are_those_of_the_docstrings(name):
    model, macs = create_model(name), []

    def count(cell, inputs, output):
        macs.append(output.size * cell.weight[0].size)

    for _, cell in model.cells_and_names():
        if isinstance(cell, (nn.Conv2d, nn.Dense)):
            cell.register_forward_hook(count)
    model(ms.Tensor(np.zeros((1, 3, 16, 224, 224), np.float32)))
    assert (count_parameters(model), round(sum(macs) / 1e9, 3)) == COUNTS[name]
