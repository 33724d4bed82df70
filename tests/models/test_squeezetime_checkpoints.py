"""Published checkpoints of SqueezeTime by name: the recogniser, the bare backbone, and pre-training on images."""

import mindspore as ms
import numpy as np
import pytest
import safetensors.numpy

from msnoah.checkpoint import load_checkpoint
from msnoah.errors import CheckpointError
from msnoah.models.squeezetime import SqueezeTime, SqueezeTimeNet, spread_over_time
from msnoah.nn.position_map import resize_positions
from msnoah.nn.step_inputs import weights
from tests.goldens.slab_goldens import published_name, relative_error
from tests.goldens.squeezetime_goldens import fill_squeezetime

GATE = 1e-5  # float32 sums over four frames in place of one
SMALL = {"num_frames": 4, "image_size": 32, "depth": 10, "base_width": 4}
BACKBONE = "backbone.net."
HEAD = ["cls_head.fc_cls.weight", "cls_head.fc_cls.bias"]


def recogniser(classes: int = 5, **changes) -> SqueezeTime:
    return SqueezeTime(classes, **{**SMALL, **changes})


def trained(**changes) -> SqueezeTime:
    model = recogniser(**changes)
    fill_squeezetime(model)
    return model


@pytest.fixture(scope="module")
def source() -> SqueezeTime:
    """What was saved; tests leave it as it is."""
    return trained()


def arrays_of(model) -> dict[str, np.ndarray]:
    return {name: parameter.asnumpy().copy() for name, parameter in weights(model).items()}


def published(model: SqueezeTime) -> dict[str, np.ndarray]:
    """A model's weights as the authors name them, counters of norms included."""
    arrays = {published_name(name): array for name, array in arrays_of(model).items()}
    counters = [name.replace("running_var", "num_batches_tracked") for name in arrays if name.endswith("running_var")]
    return {**arrays, **{name: np.array(7) for name in counters}}


def published_backbone(model: SqueezeTime, prefix: str = "") -> dict[str, np.ndarray]:
    """The backbone's weights alone, under another prefix."""
    return {prefix + name.removeprefix(BACKBONE): array for name, array in published(model).items()
            if name.startswith(BACKBONE)}


def load(model, arrays: dict[str, np.ndarray], folder, strict: bool = False):
    safetensors.numpy.save_file(arrays, folder / "published.safetensors")
    return load_checkpoint(model, folder / "published.safetensors", strict=strict)


def assert_backbone(model, source: SqueezeTime, but: list[str] = ()) -> None:
    """Every weight and batch statistic of the backbones is the same."""
    found = {name.removeprefix(BACKBONE): array for name, array in arrays_of(model).items() if name not in HEAD}
    assert sum(name.endswith("moving_variance") for name in found) == 39
    expected = arrays_of(source)
    for name in set(found) - set(but):
        assert np.array_equal(found[name], expected[BACKBONE + name]), name


@pytest.mark.parametrize("prefix", ["", "module."])
def test_recogniser_loads_whole(tmp_path, source, prefix):
    model = recogniser()
    report = load(model, {prefix + name: array for name, array in published(source).items()}, tmp_path, strict=True)
    assert_backbone(model, source)
    assert np.array_equal(model.cls_head.fc_cls.weight.asnumpy(), source.cls_head.fc_cls.weight.asnumpy())
    assert len(report.loaded) == len(weights(model)) and not report.adapted


@pytest.mark.parametrize("prefix", ["", "net."])
def test_bare_backbone_loads_into_a_recogniser_all_but_its_head(tmp_path, source, prefix):
    model, arrays = recogniser(), published_backbone(source, prefix)
    with pytest.raises(CheckpointError, match="model: 2 missing .*; only the head differs") as caught:
        load(model, arrays, tmp_path, strict=True)
    assert "\n" not in str(caught.value)
    report = load(model, arrays, tmp_path)
    assert_backbone(model, source)
    assert report.missing == HEAD and not report.unexpected and not report.mismatched


def test_recogniser_loads_into_a_bare_backbone(tmp_path, source):
    net = SqueezeTimeNet(**SMALL)
    with pytest.raises(CheckpointError, match="model: 2 unexpected .*; only the head differs"):
        load(net, published(source), tmp_path, strict=True)
    assert set(load(net, published(source), tmp_path).unexpected) == set(HEAD)
    assert_backbone(net, source)


def test_pretraining_on_images_answers_a_clip_of_one_repeated_image_as_it_answers_the_image(tmp_path):
    source, model = trained(num_frames=1), recogniser()
    head = {"fc.weight": np.ones((1000, 32), np.float32), "fc.bias": np.ones(1000, np.float32)}
    report = load(model, {**published_backbone(source), **head}, tmp_path)
    assert_backbone(model, source, ["conv1.weight"])
    assert report.adapted == ["backbone.net.conv1.weight"] and set(report.unexpected) == set(head)
    image = np.random.default_rng(0).standard_normal((2, 3, 1, 32, 32)).astype(np.float32)
    clip = ms.Tensor(np.repeat(image, 4, axis=2))
    for found, expected in zip(model.backbone(clip), source.backbone(ms.Tensor(image))):
        assert relative_error(found.asnumpy(), expected.asnumpy()) <= GATE


def test_what_fits_of_a_model_of_other_sizes_loads_and_the_rest_is_made_to_fit_or_named(tmp_path, source, caplog):
    model = recogniser(classes=7, num_frames=8, position_sizes=[7, 4, 2, 1])
    report = load(model, published(source), tmp_path)
    maps = [f"layer1.0.conv{number}.spatial_conv.pos_embed" for number in (1, 2)]
    adapted = ["conv1.weight", *maps]
    assert_backbone(model, source, adapted)
    assert set(report.adapted) == {BACKBONE + name for name in adapted} and set(report.mismatched) == set(HEAD)
    assert "3 adapted (backbone.net." in caplog.text and "2 of another shape" in caplog.text
    found, given = arrays_of(model), arrays_of(source)
    for name in [BACKBONE + name for name in maps]:
        assert relative_error(found[name], resize_positions(given[name], (7, 7))) <= GATE


def test_a_first_convolution_that_no_change_of_frames_makes_fit_is_named(tmp_path, source):
    arrays = {**published(source), "backbone.net.conv1.weight": np.ones((4, 3, 7, 7), np.float32)}
    report = load(recogniser(), arrays, tmp_path)
    assert report.mismatched == {"backbone.net.conv1.weight": ((4, 3, 7, 7), (4, 12, 5, 5))} and not report.adapted


def test_another_network_is_refused_in_one_line(tmp_path):
    arrays = {"patch_embed.proj.weight": np.ones((4, 3, 4, 4), np.float32), "head.weight": np.ones((5, 4), np.float32)}
    with pytest.raises(CheckpointError, match=r"does not fit the model: \d+ missing .*; 2 unexpected") as caught:
        load(recogniser(), arrays, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("frames, new, expected", [
    (1, 4, [[1 / 4], [1 / 4], [1 / 4], [1 / 4]]),
    (4, 2, [[1, 1, 0, 0], [0, 0, 1, 1]]),
    (2, 3, [[2 / 3, 0], [1 / 3, 1 / 3], [0, 2 / 3]]),
])
def test_weights_of_frames_go_to_the_frames_of_the_same_time(frames, new, expected):
    weight = np.random.default_rng(0).standard_normal((2, 3 * frames, 1, 1))
    found = spread_over_time(weight, 3, new).reshape(2, 3, new)
    assert np.allclose(found, weight.reshape(2, 3, frames) @ np.array(expected).T)
