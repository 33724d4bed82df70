"""Published DeiT checkpoints and ToCom plugin files by name: one file, two files, and files that do not fit."""

import functools

import numpy as np
import pytest

from msnoah.checkpoint import load_checkpoint
from msnoah.errors import CheckpointError, ModelError
from msnoah.nn.step_inputs import weights
from msnoah.registry import create_model
from msnoah.state_file import save_state
from msnoah.weight_names import is_plugin
from tests.goldens.slab_goldens import deit_value
from tests.goldens.tocom_goldens import CONTRACTS
from tests.models.small_deit import SIZES, published_arrays, small_deit, small_images
from tests.test_checkpoint_torch import floats, save

DEIT, TOCOM, DISTILLED = "deit_tiny_patch16_224", "deit_tiny_patch16_224_tocom", "deit_tiny_distilled_patch16_224"


@functools.cache
def body(**changes) -> dict[str, np.ndarray]:
    """What a published checkpoint holds, of the small size."""
    return published_arrays(small_deit(DEIT, **changes))


@functools.cache
def plugin(**changes) -> dict[str, np.ndarray]:
    """What a published plugin file holds."""
    return {name: array for name, array in published_arrays(small_deit(TOCOM, **changes)).items() if is_plugin(name)}


def write(path, arrays: dict[str, np.ndarray], prefix: str = ""):
    """As torch.save({"model": state_dict}) does."""
    state = {prefix + name: floats(array, str(index)) for index, (name, array) in enumerate(arrays.items())}
    return save(path, {"model": state, "epoch": 300})


def create(
    name: str, folder, *, prefix: str = "", plugin_prefix: str = "", plugin_arrays=None, arrays=None, **arguments,
):
    """The small model from files."""
    files = {"checkpoint": write(folder / "deit.pth", body() if arrays is None else arrays, prefix)}
    if plugin_arrays is not None:
        files["plugin"] = write(folder / "plugin.pth", plugin_arrays, plugin_prefix)
    return create_model(name, **files, **{**SIZES, **arguments})


def assert_holds(model, arrays: dict[str, np.ndarray]) -> None:
    found = published_arrays(model)
    assert found.keys() == arrays.keys() and all(np.array_equal(found[name], arrays[name]) for name in found)


@pytest.mark.slow
@pytest.mark.parametrize("form, name, arguments", [
    ("plain", DEIT, {}), ("plain", DEIT, {"tokens_merged": 16}), ("tocom", TOCOM, {"tokens_merged": 16})])
def test_published_files_fit_whole_models(tmp_path, form, name, arguments):
    """Of the size, names and shapes that the authors' files have."""
    arrays = {name: deit_value(name, shape).astype(np.float32) for name, shape in CONTRACTS[form].items()}
    base = {name: array for name, array in arrays.items() if not is_plugin(name)}
    files = {"checkpoint": write(tmp_path / "deit.pth", base)}
    if form == "tocom":
        files["plugin"] = write(tmp_path / "plugin.pth", {name: arrays[name] for name in arrays.keys() - base.keys()})
    assert_holds(create_model(name, **files, **arguments), arrays)


@pytest.mark.parametrize("tokens_merged", [0, [3, 0, 1]], ids=["none", "some"])
def test_checkpoint_fits_whatever_is_merged(tmp_path, tokens_merged):
    assert_holds(create(DEIT, tmp_path, tokens_merged=tokens_merged), body())


@pytest.mark.parametrize("prefix, plugin_prefix", [
    ("", ""), ("module.", "model."), ("model.", "student.module."),
    *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (("module.", "module."), ("", "model."), ("model.", ""))),
])
def test_model_with_plugin_from_two_files(tmp_path, prefix, plugin_prefix):
    model = create(TOCOM, tmp_path, prefix=prefix, plugin_prefix=plugin_prefix, plugin_arrays=plugin())
    assert_holds(model, {**body(), **plugin()})


@pytest.mark.parametrize("prefix", ["", "model."])
def test_model_with_plugin_from_one_file(tmp_path, prefix):
    assert_holds(create(TOCOM, tmp_path, arrays={**body(), **plugin()}, prefix=prefix), {**body(), **plugin()})


def test_plugin_of_a_file_replaces_that_of_the_checkpoint(tmp_path):
    other = {name: array + 1 for name, array in plugin().items()}
    model = create(TOCOM, tmp_path, arrays={**body(), **plugin()}, plugin_arrays=other)
    assert_holds(model, {**body(), **other})


def test_plugin_comes_from_a_training_state_without_its_moments_and_averages(tmp_path):
    state = {f"{prefix}{name}": array + shift for name, array in plugin().items()
             for prefix, shift in (("", 0), ("optimizer.moment1.", 1), ("ema.", 2))}
    save_state(tmp_path / "last.ckpt", state, {})
    model = small_deit(TOCOM)
    load_checkpoint(model, write(tmp_path / "deit.pth", body()), plugin=tmp_path / "last.ckpt")
    assert_holds(model, {**body(), **plugin()})


def test_plugin_of_other_units_fits_a_model_built_for_them(tmp_path):
    model = create(TOCOM, tmp_path, plugin_arrays=plugin(tocom_units=3), tocom_units=3)
    assert_holds(model, {**body(), **plugin(tocom_units=3)})


def test_without_a_plugin_a_model_starts_with_one_that_changes_nothing(tmp_path):
    degrees = {"source_degree": 1, "tokens_merged": 4}
    model, images = create(TOCOM, tmp_path, strict=False, **degrees), small_images(1)
    plain = small_deit(DEIT, tokens_merged=4)(images).asnumpy()
    np.testing.assert_allclose(model(images).asnumpy(), plain, atol=5e-6, rtol=0)   # runs differ in their last bits
    assert not weights(model)["blocks.0.attn.v_tocom.adapter_up.weight"].asnumpy().any()
    assert all(weights(model)[f"blocks.{block}.attn.q_tocom.adapter_down.weight"].asnumpy().any() for block in range(3))


def test_head_of_other_classes_stays_new_for_fine_tuning(tmp_path):
    model = create(TOCOM, tmp_path, strict=False, plugin_arrays=plugin(), num_classes=7)
    found, expected = published_arrays(model), {**body(), **plugin()}
    assert {name for name in found if not np.array_equal(found[name], expected[name])} == {"head.weight", "head.bias"}
    assert found["head.weight"].shape == (7, 24)


# the message, the model, what its checkpoint and its plugin file hold, arguments
REFUSED = {
    "no plugin anywhere": (
        "the file has no ToCom plugin; name one by `plugin`, or give strict=False to start with one that changes "
        "nothing",
        TOCOM, body, None, {}),
    "plugin alone": (
        "the file has a ToCom plugin alone; name it by `plugin`, and the weights that it goes with by `checkpoint`",
        TOCOM, plugin, None, {}),
    "plugin alone, for a plain model": (
        "the file has a ToCom plugin alone; name it by `plugin`, and the weights that it goes with by `checkpoint`",
        DEIT, plugin, None, {}),
    "plugin in a plain model": (
        "the file has a ToCom plugin, the model has none; build the model with source_degree", DEIT, body, plugin, {}),
    "plugin in a plain model, not strict": (
        "the file has a ToCom plugin, the model has none; build the model with source_degree",
        DEIT, body, plugin, {"strict": False}),
    "another width": (
        "the plugin is for width 48, the model's is 24", TOCOM, body, lambda: plugin(embed_dim=48), {}),
    "another width, not strict": (
        "plugin.pth: does not fit the model: the plugin is for width 48, the model's is 24",
        TOCOM, body, lambda: plugin(embed_dim=48), {"strict": False, "num_classes": 7}),
    "another width and other classes": (
        "the plugin is for width 48, the model's is 24; the head is of 5 classes, not 7; strict=False loads everything "
        "else",
        TOCOM, body, lambda: plugin(embed_dim=48), {"num_classes": 7}),
    "other units": (
        "the plugin has 48 hidden units, the model's 32; tocom_units is a sixteenth of that: 3, not 2",
        TOCOM, body, lambda: plugin(tocom_units=3), {}),
    "fewer blocks": (
        "the plugin is for other blocks than the model's", TOCOM, body, lambda: plugin(depth=2), {}),
    "more blocks": (
        "the plugin is for other blocks than the model's", TOCOM, body, lambda: plugin(depth=4), {"strict": False}),
    "no plugin in the plugin's file": (
        "plugin.pth: holds no ToCom plugin (weights named blocks.N.attn.q_tocom.adapter_down.weight ...)",
        TOCOM, body, body, {}),
    "distillation token in the file": (
        "the file has a distillation token, the model has not; build the model with distilled=True",
        DEIT, lambda: published_arrays(small_deit(DISTILLED)), None, {}),
    "distillation token in the model": (
        "the model has a distillation token, the file has not; build the model with distilled=False",
        DISTILLED, body, None, {}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_do_not_fit_are_refused_in_one_line(tmp_path, case):
    message, name, arrays, plugin_arrays, arguments = REFUSED[case]
    with pytest.raises(CheckpointError) as caught:
        create(name, tmp_path, arrays=arrays(), plugin_arrays=plugin_arrays and plugin_arrays(), **arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_refused_plugin_leaves_the_model_as_it_was(tmp_path):
    model = small_deit(TOCOM)
    before = published_arrays(model)
    other = {name: array + 1 for name, array in body().items()}
    with pytest.raises(CheckpointError):
        load_checkpoint(model, write(tmp_path / "deit.pth", other), strict=False,
                        plugin=write(tmp_path / "plugin.pth", plugin(tocom_units=3)))
    assert_holds(model, before)


def test_a_plugin_without_weights_that_it_goes_with_is_refused(tmp_path):
    with pytest.raises(ModelError, match="plugin='x.pth': .*give checkpoint too"):
        create_model(TOCOM, plugin="x.pth")
