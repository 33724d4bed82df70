"""Single layers of SLAB against what the authors' layers compute."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import amp, nn, ops

from msnoah.models.cswin import LinearStripeAttention, StripeAttention
from msnoah.models.pvt import ReducedAttention, ReducedLinearAttention, interpolation_matrix
from msnoah.nn.linear_attention import LinearAttention, LinearProduct
from msnoah.nn.rep_norm import ProgressiveRepBatchNorm, RepBatchNorm
from msnoah.nn.step_inputs import set_layer_norm_share, set_warm
from tests.goldens.slab_goldens import UNITS, fill, relative_error

GATE = 1e-5  # the authors' layers in float32 lie within 1e-6 of float64, so a port has no reason to be further off

STRIPES = {-1: (14, 14), 0: (14, 7), 1: (7, 14)}
LAYERS = {
    "sla_deit": lambda: LinearAttention(24, 3, 14),
    "sla_swin_14": lambda: LinearAttention(24, 3, 14),
    "sla_swin_4_qk_first": lambda: LinearAttention(96, 3, 4),
    "sla_pvt_sr1": lambda: ReducedLinearAttention(24, 3, 8, 1, "prep_bn", 1e-6),
    "sla_pvt_sr2": lambda: ReducedLinearAttention(24, 3, 8, 2, "prep_bn", 1e-6),
    "attn_pvt_sr2": lambda: ReducedAttention(24, 3, 8, 2, "prep_bn", 1e-6),
}
SCHEDULES = {  # name: calls, warm calls, steps of the ramp, LayerNorm's share at its start
    "ln_step4": (7, 0, 4, 1.0),
    "ln_warm2_step2": (6, 2, 2, 1.0),
    "ln_r0_half": (3, 0, 4, 0.5),
}


@pytest.mark.parametrize("name", LAYERS)
def test_attention_layer_computes_what_the_authors_layer_does(name):
    layer = LAYERS[name]()
    fill(layer, prefix=f"unit.{name}.")
    y = layer(ms.Tensor(UNITS[f"{name}/x"])).asnumpy()
    assert relative_error(y, UNITS[f"{name}/y"]) <= GATE


@pytest.mark.parametrize("branch", STRIPES)
@pytest.mark.parametrize("kind, attention", [("sla", LinearStripeAttention), ("lepe", StripeAttention)])
def test_stripe_attention_computes_what_the_authors_layer_does(kind, attention, branch):
    name = f"{kind}_cswin_idx{branch}"
    layer = attention(24, 3, 14, STRIPES[branch])
    fill(layer, prefix=f"unit.{name}.")
    q, k, v = (ms.Tensor(x.swapaxes(1, 2).copy()) for x in UNITS[f"{name}/x"])      # tokens last
    y = layer(q, k, v).asnumpy().swapaxes(1, 2)
    assert relative_error(y, UNITS[f"{name}/y"]) <= GATE


def test_rep_batch_norm_evaluates_and_trains_as_the_authors_do():
    norm = RepBatchNorm(8)
    fill(norm, prefix="unit.repbn.")
    x = ms.Tensor(UNITS["repbn/x"])
    assert relative_error(norm(x).asnumpy(), UNITS["repbn/eval_y"]) <= GATE
    norm.set_train()
    assert relative_error(norm(x).asnumpy(), UNITS["repbn/train_y"]) <= GATE
    assert relative_error(norm.bn.moving_mean.asnumpy(), UNITS["repbn/running_mean_after"]) <= GATE
    assert relative_error(norm.bn.moving_variance.asnumpy(), UNITS["repbn/running_var_after"]) <= GATE


@pytest.mark.parametrize("name", SCHEDULES)
def test_progressive_norm_follows_the_share_that_it_is_given(name):
    calls, warm_calls, steps, start = SCHEDULES[name]
    norm = ProgressiveRepBatchNorm(8, 1e-6)
    fill(norm, prefix=f"unit.{name}.")
    norm.set_train()
    for call in range(calls):
        set_warm(norm, call < warm_calls)
        set_layer_norm_share(norm, start * max(steps - max(call - warm_calls, 0), 0) / steps)
        y = norm(ms.Tensor(UNITS[f"{name}/x{call}"])).asnumpy()
        assert relative_error(y, UNITS[f"{name}/y{call}"]) <= GATE
        assert relative_error(norm.norm2.bn.moving_mean.asnumpy(), UNITS[f"{name}/running_mean{call}"]) <= GATE
        assert relative_error(norm.norm2.bn.moving_variance.asnumpy(), UNITS[f"{name}/running_var{call}"]) <= GATE
    norm.set_train(False)
    assert relative_error(norm(ms.Tensor(UNITS["repbn/x"])).asnumpy(), UNITS[f"{name}/eval_y"]) <= GATE


def test_warm_norm_leaves_batch_statistics_alone():
    norm = ProgressiveRepBatchNorm(4)
    norm.set_train()
    set_warm(norm, True)
    norm(ms.Tensor(np.random.default_rng(0).normal(5, 3, (2, 3, 4)).astype(np.float32)))
    assert norm.norm2.bn.moving_mean.asnumpy().tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("queries", [3, 40], ids=["scores first", "context first"])
def test_both_orders_of_the_linear_product_are_its_definition(queries):
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((2, 16, queries)) for _ in range(3))
    heads = [x.reshape(2, 2, 8, queries) for x in (np.maximum(q, 0), np.maximum(k, 0), v)]
    scores = np.einsum("bhdq,bhdk->bhqk", heads[0], heads[1])
    expected = np.einsum("bhqk,bhdk->bhdq", scores, heads[2]) / (scores.sum(-1)[:, :, None] + 1e-6)
    found = LinearProduct(2)(*(ms.Tensor(x.astype(np.float32)) for x in (q, k, v))).asnumpy()
    assert relative_error(found, expected.reshape(found.shape)) <= GATE


def test_linear_product_of_queries_that_are_all_negative_is_zero():
    rng = np.random.default_rng(1)
    q, k = -np.abs(rng.standard_normal((1, 4, 5))), rng.standard_normal((1, 4, 5))
    assert not LinearProduct(1)(*(ms.Tensor(x.astype(np.float32)) for x in (q, k, k))).asnumpy().any()


@pytest.mark.parametrize("level", ["O1", "O2", "O3"])
def test_linear_product_is_float32_under_mixed_precision(level, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)     # O1 writes the code of its rewritten network into the working directory
    attention = LinearAttention(16, 2, 8)
    fill(attention)
    # sums over 64 keys of products of some 100 * 100 pass float16's 65504, and an average of v does not
    x = ms.Tensor(200 * np.random.default_rng(0).standard_normal((1, 64, 16)).astype(np.float32))
    expected = attention(x).asnumpy()
    mixed = amp.auto_mixed_precision(attention, level)

    @ms.jit
    def compiled(x):
        return mixed(x)

    for run in (mixed, compiled):
        assert relative_error(run(x).asnumpy(), expected) <= 5e-3   # float16 keeps 11 bits; 2 linear layers round to it


def test_linear_interpolation_is_mindspores():
    v = np.random.default_rng(0).standard_normal((1, 3, 4)).astype(np.float32)
    expected = ops.interpolate(ms.Tensor(v[:, :, None]), size=(1, 16), mode="bilinear").asnumpy()[:, :, 0]
    assert relative_error(v @ interpolation_matrix(4, 16), expected) <= GATE


def test_gelu_is_the_exact_form():
    x = np.array([-3.0, -1.0, 0.5, 2.0], np.float32)
    exact = [-0.00404969409, -0.15865525393, 0.34573123063, 1.95449973610]      # x * Phi(x)
    assert relative_error(nn.GELU(approximate=False)(ms.Tensor(x)).asnumpy(), exact) <= GATE
