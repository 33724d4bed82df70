"""Small DeiT with merging, ToCom and a distillation token against NumPy in float64: forms, degrees, gradients."""

import mindspore as ms
import numpy as np
import pytest

from msnoah.nn.fusing import fuse
from msnoah.nn.gathering_token_merging import with_gathering
from msnoah.nn.merging_degrees import set_compensating, set_compensation, set_tokens_merged
from msnoah.nn.step_inputs import weights
from msnoah.nn.token_compensator import TokenCompensator
from msnoah.weight_names import is_plugin
from tests.models.deit_reference import Reference
from tests.models.small_deit import SIZES, published_arrays, reference_logits, small_deit, small_images

GATE = 5e-6  # float32 through 3 blocks; logits are up to 3, of which float32 resolves 2.4e-7
TOCOM = "deit_tiny_patch16_224_tocom"
# the model, its arguments, and what the reference is told
VARIANTS = {
    "none merged": (TOCOM, {"source_degree": 0}, {}),
    "constant": ("deit_tiny_patch16_224", {"tokens_merged": 3}, {"counts": [3, 3, 3]}),
    "list": ("deit_tiny_patch16_224", {"tokens_merged": [1, 0, 5]}, {"counts": [1, 0, 5]}),
    "decreasing": ("deit_tiny_patch16_224", {"tokens_merged": 2, "merging_schedule": "decreasing"},
                   {"counts": [4, 2, 0]}),
    "increasing": ("deit_tiny_patch16_224", {"tokens_merged": 2, "merging_schedule": "increasing"},
                   {"counts": [0, 2, 4]}),
    "all that can be": ("deit_tiny_patch16_224", {"tokens_merged": 8}, {"counts": [8, 8, 8]}),
    "more": (TOCOM, {"source_degree": 1, "tokens_merged": 4}, {"counts": [4] * 3, "source": [1] * 3}),
    "fewer": (TOCOM, {"source_degree": 4, "tokens_merged": 1, "tocom_scale": 0.5},
              {"counts": [1] * 3, "source": [4] * 3, "scale": 0.5}),
    "to none": (TOCOM, {"source_degree": 16}, {"source": [16] * 3}),
    "lists": (TOCOM, {"source_degree": [4, 0, 2], "tokens_merged": [1, 4, 2]},
              {"counts": [1, 4, 2], "source": [4, 0, 2]}),
    "same schedule": (TOCOM, {"source_degree": 1, "tokens_merged": 2, "merging_schedule": "decreasing"},
                      {"counts": [4, 2, 0], "source": [2, 1, 0]}),
    "other units": (TOCOM, {"source_degree": 1, "tokens_merged": 4, "tocom_units": 3},
                    {"counts": [4] * 3, "source": [1] * 3}),
    "distilled": ("deit_tiny_distilled_patch16_224", {"tokens_merged": 3}, {"counts": [3] * 3}),
    "distilled, all": ("deit_tiny_distilled_patch16_224", {"tokens_merged": 8}, {"counts": [8] * 3}),
    "distilled, whole": ("deit_tiny_distilled_patch16_224", {}, {}),
    "distilled, compensated": (TOCOM, {"distilled": True, "source_degree": 1, "tokens_merged": 3},
                               {"counts": [3] * 3, "source": [1] * 3}),
}
CHEAP = {"distilled, compensated"}   # 3 CPU seconds each


@pytest.mark.parametrize("variant", [
    pytest.param(name, marks=[] if name in CHEAP else pytest.mark.slow) for name in VARIANTS])
def test_every_form_gives_the_logits_of_the_reference(variant):
    name, arguments, degrees = VARIANTS[variant]
    model, images = small_deit(name, **arguments), small_images()
    expected = reference_logits(model, images, **degrees)
    for form in (model, fuse(model), with_gathering(model), with_gathering(fuse(model))):
        np.testing.assert_allclose(form(images).asnumpy(), expected, atol=GATE, rtol=0)


@pytest.mark.slow
def test_degrees_of_a_standing_model_can_be_changed():
    model, images = small_deit(TOCOM), small_images(1)
    set_tokens_merged(model, [4, 4, 4])
    set_compensation(model, [1, 1, 1], [4, 4, 4], 0.3)
    expected = reference_logits(model, images, counts=[4] * 3, source=[1] * 3, scale=0.3)
    np.testing.assert_allclose(model(images).asnumpy(), expected, atol=GATE, rtol=0)
    set_compensating(model, False)
    plain = small_deit(tokens_merged=4)(images).asnumpy()
    np.testing.assert_allclose(model(images).asnumpy(), plain, atol=GATE, rtol=0)
    assert not np.allclose(expected, plain, atol=0.01)


@pytest.mark.parametrize("arguments", [
    {"source_degree": 1, "tocom_scale": 0}, pytest.param({"source_degree": 4}, marks=pytest.mark.slow)],
    ids=["scale 0", "same degree"])
def test_without_a_difference_or_a_scale_the_plugin_changes_no_bit(arguments):
    images = small_images(1)
    with_plugin, plain = small_deit(TOCOM, tokens_merged=4, **arguments), small_deit(tokens_merged=4)
    assert not any(cell(ms.ops.ones((1, 4, 24))).asnumpy().any() for _, cell in with_plugin.cells_and_names()
                   if isinstance(cell, TokenCompensator))
    merged, fused = (published_arrays(fuse(model)) for model in (with_plugin, plain))
    assert merged.keys() == fused.keys() and all(np.array_equal(merged[name], fused[name]) for name in fused)
    # one model gives other last bits from run to run on a busy CPU (MindSpore 2.10)
    np.testing.assert_allclose(with_plugin(images).asnumpy(), plain(images).asnumpy(), atol=GATE, rtol=0)


def test_distillation_token_has_published_names_and_stays_in_second_place():
    model = small_deit("deit_tiny_distilled_patch16_224", tokens_merged=8)
    arrays = published_arrays(model)
    assert {name: array.shape for name, array in arrays.items() if "blocks" not in name} == {
        "cls_token": (1, 1, 24), "dist_token": (1, 1, 24), "pos_embed": (1, 18, 24),
        "patch_embed.proj.weight": (24, 3, 8, 8), "patch_embed.proj.bias": (24,), "norm.weight": (24,),
        "norm.bias": (24,), "head.weight": (5, 24), "head.bias": (5,), "head_dist.weight": (5, 24),
        "head_dist.bias": (5,)}
    images = small_images(1)
    reference = Reference(arrays, SIZES["num_heads"])
    tokens = reference.encode(reference.embed(images.asnumpy()[0].astype(np.float64)), [8, 8, 8], None, 0.1)
    found = model.encode(model.embed(images)).asnumpy()[0]
    assert len(found) == 4      # 18, 10, 6, 4: all that can be
    np.testing.assert_allclose(found, tokens, atol=10 * GATE, rtol=0)


def plugin_outputs(pairs) -> list[np.ndarray]:
    """What one plugin adds for pairs of degrees, on the same tokens."""
    rng = np.random.default_rng(0)
    plugin = TokenCompensator(12, tokens=5, units_per_degree=3)
    for dense in (plugin.adapter_down, plugin.adapter_up):
        dense.weight.set_data(ms.Tensor(rng.standard_normal(dense.weight.shape).astype(np.float32)))
    x = rng.standard_normal((2, 5, 12)).astype(np.float32)
    outputs = []
    for pair in pairs:
        plugin.unit_gate.set_data(plugin.gate(*pair, 0.1))
        outputs.append(plugin(ms.Tensor(x)).asnumpy())
        np.testing.assert_allclose(outputs[-1], x @ plugin.weight().T, atol=1e-5, rtol=0)
    return outputs


@pytest.mark.parametrize("a, b, c", [(0, 8, 16), (4, 13, 7), (16, 0, 5), (3, 3, 9)])
def test_what_a_plugin_adds_is_additive_over_degrees(a, b, c):
    whole, first, second, back, nothing = plugin_outputs([(a, c), (a, b), (b, c), (b, a), (b, b)])
    np.testing.assert_allclose(whole, first + second, atol=1e-5, rtol=0)    # float32 sums of 48 terms, up to 5 in size
    assert np.array_equal(back, -first) and not nothing.any()
    assert np.abs(whole).max() > 0.1


def step_of(model, names: list[str]):
    """A compiled loss and its gradients with respect to some weights."""
    learnt = [weights(model)[name] for name in names]

    def loss(images, factors):
        return (model(images) * factors).sum()

    return ms.jit(ms.value_and_grad(loss, None, learnt))


def slopes(model, names: list[str], images, factors, degrees: dict) -> tuple[list[float], list[np.ndarray]]:
    """Of each weight, the loss's slope in a random direction, by differences in float64; and the directions."""
    arrays = {name: array.astype(np.float64) for name, array in published_arrays(model).items()}
    ours = dict(zip(weights(model), arrays))
    found, directions, step = [], [], 1e-6

    def loss(changed) -> float:
        reference = Reference(changed, SIZES["num_heads"])
        return sum((reference.logits(image, **degrees) * weight).sum()
                   for image, weight in zip(images.asnumpy().astype(np.float64), factors.asnumpy().astype(np.float64)))

    for seed, name in enumerate(names):
        direction = np.random.default_rng(seed).standard_normal(arrays[ours[name]].shape)
        ahead, behind = (loss({**arrays, ours[name]: arrays[ours[name]] + side * direction}) for side in (step, -step))
        found.append((ahead - behind) / (2 * step))
        directions.append(direction)
    return found, directions


@pytest.mark.slow     # 10 CPU seconds of compiling each; the derivative of merging alone is in the default set
@pytest.mark.parametrize("frozen", [False, True], ids=["all", "body frozen"])
def test_compiled_training_through_merging_has_the_gradients_of_finite_differences(frozen):
    arguments = {"source_degree": 1, "tokens_merged": 4, "tocom_scale": 0.5, "drop_path_rate": 0.0, "depth": 2}
    model, images = small_deit(TOCOM, **arguments), small_images()
    factors = ms.Tensor(np.random.default_rng(5).standard_normal((2, 5)).astype(np.float32))
    names = [name for name in weights(model) if is_plugin(name) or not frozen]
    for name, parameter in weights(model).items():
        parameter.requires_grad = name in names
    model.set_train()
    gradients = step_of(model, names)(images, factors)[1]
    expected, directions = slopes(model, names, images, factors, {"counts": [4] * 2, "source": [1] * 2, "scale": 0.5})
    assert len(gradients) == (8 if frozen else len(weights(model)))
    for name, gradient, slope, direction in zip(names, gradients, expected, directions):
        found = float((gradient.asnumpy().astype(np.float64) * direction).sum())
        assert abs(found - slope) <= 1e-5 * max(1, np.abs(gradient.asnumpy() * direction).sum()), name
