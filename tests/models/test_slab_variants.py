"""Every variant of DeiT, PVT, Swin and CSWin, small: it fuses exactly, compiles, trains and refuses what does not fit."""

import re

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from msnoah.errors import ModelError
from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import STEP_INPUTS, count_parameters, draw_drops, prepare_drops, weights
from msnoah.registry import create_model, list_models
from tests.goldens.slab_goldens import relative_error

GATE = 1e-5  # folding rounds each weight once more; the authors' models fold to 2e-7 to 8e-7

SMALL = {
    "deit": {"image_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2},
    "pvt": {"image_size": 32, "patch_size": 2, "embed_dims": [8, 16, 16, 16], "depths": [1, 1, 1, 1],
            "num_heads": [1, 2, 2, 2], "mlp_ratios": [2, 2, 2, 2]},
    "cswin": {"image_size": 32, "patch_size": 1, "embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [2, 2, 2, 2],
              "split_sizes": [1, 2, 4, 4]},
    "swin": {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4},
}
EXTRA = {"slab_swin": {"attention_types": "LS"}}
NAMES = [name for name in list_models() if any(family in name for family in SMALL)]
TINIEST = re.compile(r"_t_|tiny(?!.*(distilled|tocom))|_t$")    # with a distillation token or ToCom: test_tocom_variants
ANY_SIZE = [name if TINIEST.search(name) else pytest.param(name, marks=pytest.mark.slow)
            for name in NAMES]  # with the sizes of SMALL, a model of another size is the tiny one again
SLOW_TO_COMPILE = [pytest.param(name, marks=pytest.mark.slow) for name in ("pvt_t_prepbn", "slab_cswin_t")]  # 25 s each
ONE_OF_EACH = ["slab_deit_t", "slab_swin_t", *SLOW_TO_COMPILE]
# thousands of parameters as the authors' models have them, before and after exact folding
COUNTS = {
    "deit_s_prepbn": (22070, 22031), "deit_t_prepbn": (5717, 5708), "pvt_m_prepbn": (44253, 44159),
    "pvt_s_prepbn": (24508, 24460), "pvt_t_prepbn": (13240, 13215), "slab_cswin_s": (35494, 35409),
    "slab_cswin_t": (21228, 21176), "slab_deit_s": (22993, 22954), "slab_deit_t": (6198, 6179),
    "slab_pvt_m": (37267, 37199), "slab_pvt_s": (21684, 21646), "slab_pvt_t": (12158, 12137),
    "slab_swin_b": (89029, 88916), "slab_swin_s": (50553, 50468), "slab_swin_t": (29217, 29168),
    "swin_t_prepbn": (28288, 28265),
}
# millions, as published with LayerNorm; ToCom's with the plugin
BASELINES = {
    "deit_tiny_distilled_patch16_224": 5.9, "deit_small_distilled_patch16_224": 22.4,
    "deit_base_distilled_patch16_224": 87.3, "deit_tiny_patch16_224_tocom": 6.0, "deit_small_patch16_224_tocom": 22.6,
    "deit_base_patch16_224_tocom": 87.7,
    "deit_tiny_patch16_224": 5.7, "deit_small_patch16_224": 22.1, "deit_base_patch16_224": 86.6, "pvt_tiny": 13.2,
    "pvt_small": 24.5, "pvt_medium": 44.2, "swin_tiny_patch4_window7_224": 28.3, "swin_small_patch4_window7_224": 49.6,
    "swin_base_patch4_window7_224": 87.8,
}
WRONG = {
    "embed_dim=18 .*num_heads=4": ("slab_deit_t", {"embed_dim": 18, "num_heads": 4}),
    "image_size=30 .*patch_size=4": ("slab_deit_t", {"image_size": 30, "patch_size": 4}),
    "norm='batch'.*'rep_bn'": ("slab_deit_t", {"norm": "batch"}),
    "depth=0": ("slab_deit_t", {"depth": 0}),
    "depth='six'": ("slab_deit_t", {"depth": "six"}),
    "drop_path_rate=1.5": ("slab_deit_t", {"drop_path_rate": 1.5}),
    "mlp_ratio=-1": ("slab_deit_t", {"mlp_ratio": -1}),
    "attention='both'": ("deit_t_prepbn", {"attention": "both"}),
    "depths=3": ("slab_swin_t", {"depths": 3}),
    "num_heads=\\[2, 2, 2\\]": ("slab_swin_t", {"num_heads": [2, 2, 2]}),
    "attention_types='LX'": ("slab_swin_t", {"attention_types": "LX"}),
    "window_size=3": ("slab_swin_t", {"window_size": 3}),
    "cannot be halved": ("slab_swin_t", {"image_size": 26, "patch_size": 2, "attention_types": "L"}),
    "sr_ratio=3": ("pvt_t_prepbn", {"sr_ratios": [3, 4, 2, 1]}),
    "image_size=40": ("pvt_t_prepbn", {"image_size": 40, "patch_size": 4}),
    "class_token=True": ("pvt_tiny", {"attention_types": "L"}),
    "split_size=3": ("slab_cswin_t", {"split_sizes": [1, 2, 3, 4]}),
    "num_heads=3": ("slab_cswin_t", {"num_heads": [2, 2, 3, 2], "attention_types": "S", "embed_dim": 12}),
    "bogus": ("slab_cswin_t", {"bogus": 1}),
}


def small(name: str, **changes) -> nn.Cell:
    """A variant at a size of a few thousand parameters, three classes."""
    family = next(family for family in SMALL if family in name)
    extra = next((sizes for part, sizes in EXTRA.items() if part in name), {})
    return create_model(name, **{"num_classes": 3, **SMALL[family], **extra, **changes})


def images(model_name: str, count: int = 2) -> ms.Tensor:
    """Random images of the small variant's size."""
    size = SMALL[next(family for family in SMALL if family in model_name)]["image_size"]
    return ms.Tensor(np.random.default_rng(1).standard_normal((count, 3, size, size)).astype(np.float32))


def randomize(model: nn.Cell) -> None:
    """Gives every weight, and every batch statistic, a value that no fold could miss."""
    rng = np.random.default_rng(0)
    for name, parameter in weights(model).items():
        is_positive = name.endswith(("gamma", "alpha", "moving_variance"))
        value = rng.uniform(0.5, 1.5, parameter.shape) if is_positive else 0.2 * rng.standard_normal(parameter.shape)
        parameter.set_data(ms.Tensor(value.astype(np.float32)))


@pytest.mark.parametrize("name", ANY_SIZE)
def test_fused_model_computes_the_same_without_norms_and_leaves_the_original_whole(name):
    model, x = small(name, drop_path_rate=0.2), images(name)
    randomize(model)
    before, names = model(x).asnumpy(), list(weights(model))
    fused = fuse(model)
    assert relative_error(fused(x).asnumpy(), before) <= GATE
    assert np.array_equal(model(x).asnumpy(), before) and list(weights(model)) == names
    kinds = {type(cell).__name__ for _, cell in fused.cells_and_names()}
    assert not kinds & {"BatchNorm1d", "RepBatchNorm", "ProgressiveRepBatchNorm", "DropPath"}
    assert ("LayerNorm" in kinds) == (name in BASELINES)
    fused_names = [parameter.name for parameter in fused.get_parameters()]
    assert fused_names == [path for path, _ in fused.parameters_and_names()] and len(set(fused_names)) == len(fused_names)
    assert not any(last in STEP_INPUTS or last == "alpha" for last in (n.rsplit(".", 1)[-1] for n in fused_names))


@pytest.mark.parametrize("name", ["deit_t_prepbn", "pvt_t_prepbn", "swin_t_prepbn", "slab_cswin_t"])
def test_plain_layer_norm_keeps_its_norms_and_still_fuses_exactly(name):
    model, x = small(name, norm="layer_norm"), images(name)
    randomize(model)
    assert relative_error(fuse(model)(x).asnumpy(), model(x).asnumpy()) <= GATE


def test_reduced_linear_attention_fuses_exactly():
    model, x = small("slab_pvt_t", linear_sr_ratios=[4, 2, 2, 1]), images("slab_pvt_t")
    randomize(model)
    assert relative_error(fuse(model)(x).asnumpy(), model(x).asnumpy()) <= GATE


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_graph_mode_computes_what_pynative_does_and_trains_the_same(name):
    model, x = small(name, drop_path_rate=0.2), images(name, 4)
    randomize(model)

    @ms.jit
    def evaluate(x):
        return model(x)

    assert relative_error(evaluate(x).asnumpy(), model(x).asnumpy()) <= GATE
    prepare_drops(model, 4)
    draw_drops(model, np.random.default_rng(0))
    model.set_train()
    learnt = [parameter for parameter in weights(model).values() if parameter.requires_grad]

    def loss(x):
        return (model(x) ** 2).mean()

    step = ms.value_and_grad(loss, None, learnt)
    start = {n: parameter.asnumpy().copy() for n, parameter in weights(model).items()}
    eager_loss, eager = step(x)
    for n, parameter in weights(model).items():
        parameter.set_data(ms.Tensor(start[n]))
    graph_loss, graph = ms.jit(step)(x)
    assert relative_error(graph_loss.asnumpy(), eager_loss.asnumpy()) <= GATE
    flat = [np.concatenate([g.asnumpy().reshape(-1) for g in gradients]) for gradients in (graph, eager)]
    assert relative_error(*flat) <= 10 * GATE      # sums over the batch in another order


def test_one_seed_makes_one_model():
    ms.set_seed(3)
    first = small("slab_swin_t")
    ms.set_seed(3)
    second = small("slab_swin_t")
    pairs = zip(first.get_parameters(), second.get_parameters())
    assert all(np.array_equal(a.asnumpy(), b.asnumpy()) for a, b in pairs)


def test_initial_weights_follow_the_recipe():
    model = small("slab_deit_t", embed_dim=64)
    values = {name: parameter.asnumpy() for name, parameter in weights(model).items()}
    assert 0.015 < values["blocks.0.attn.qkv.weight"].std() < 0.025 and not values["blocks.0.attn.qkv.bias"].any()
    assert 0.015 < values["pos_embed"].std() < 0.025 and not values["blocks.0.attn.positional_encoding"].any()
    assert values["norm.norm2.alpha"].tolist() == [1.0] and (values["norm.norm1.gamma"] == 1).all()


@pytest.mark.parametrize("message", WRONG)
def test_sizes_that_do_not_fit_are_refused_by_name_and_value(message):
    name, changes = WRONG[message]
    with pytest.raises(ModelError, match=message):
        small(name, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_the_authors_before_and_after_fusing(name):
    model = create_model(name)
    assert (round(count_parameters(model) / 1e3), round(count_parameters(fuse(model)) / 1e3)) == COUNTS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_parameter_counts_of_baselines_are_the_published_ones(name):
    assert round(count_parameters(create_model(name)) / 1e6, 1) == BASELINES[name]


def test_counts_cover_every_variant():
    assert set(NAMES) == {*COUNTS, *BASELINES}
