"""The compiled step: what it computes, and that values from the host reach it without compiling anew."""

import time

import numpy as np
import pytest
from small_net import SmallNet

from msnoah.data.batches import Batch
from msnoah.nn import step_inputs
from msnoah.train_config import TrainConfig
from msnoah.training.gradients import clip_factor
from msnoah.training.loss_scale import LossScale
from msnoah.training.optimizers import create_optimizer
from msnoah.training.train_step import AccumulatedStep, FusedStep, create_step


def batch(size: int, seed: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, size)
    images = random.standard_normal((size, 1, 8, 8)).astype(np.float32)
    return Batch(images, np.eye(10, dtype=np.float32)[labels], labels.astype(np.int32), size)


def step_of(model, loss_scale=None, **train):
    optimizer = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}
    settings = TrainConfig(epochs=1, optimizer=optimizer, **train)
    weights = [w for w in step_inputs.weights(model).values() if w.requires_grad]
    model.set_train(True)
    optimizer = create_optimizer(weights, settings.optimizer)
    loss_scale = loss_scale or LossScale(settings.amp_level != "O0")
    return create_step(model, optimizer, settings, loss_scale), optimizer.step_scalars(0.1, 0)


def values(model) -> dict[str, np.ndarray]:
    return {name: w.asnumpy().copy() for name, w in step_inputs.weights(model).items()}


def trained_values(model) -> dict[str, np.ndarray]:
    return {name: value for name, value in values(model).items() if "moving" not in name}


def copied(model, other):
    for name, weight in step_inputs.weights(other).items():
        weight.set_data(step_inputs.weights(model)[name].copy())
    return other


@pytest.mark.parametrize("mode", ["graph", "pynative"])
@pytest.mark.parametrize("limit", [None, 0.05])
def test_two_half_batches_step_as_one_whole(small_model, limit, mode):
    step_inputs.set_warm(small_model, True)   # LayerNorm, whose outputs do not depend on the rest of the batch
    other = copied(small_model, type(small_model)())
    step_inputs.set_warm(other, True)
    whole, scalars = step_of(small_model, clip_grad_norm=limit, mode=mode)
    halves, _ = step_of(other, accumulate=2, clip_grad_norm=limit, mode=mode)
    assert (type(whole), type(halves)) == (FusedStep, AccumulatedStep)
    data = batch(16)
    parts = [Batch(data.images[s], data.targets[s], data.labels[s], 8) for s in (slice(8), slice(8, 16))]
    for _ in range(2):   # twice: the sums start at zero again
        one, two = whole([data], scalars), halves(iter(parts), scalars)
        # sums in another order, float32
        assert two.loss == pytest.approx(one.loss, rel=1e-5)
        assert two.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-4)
    for name, value in values(small_model).items():
        np.testing.assert_allclose(values(other)[name], value, atol=2e-6, err_msg=name)


def test_clipping_limits_the_update(small_model):
    before = values(small_model)
    step, scalars = step_of(small_model, clip_grad_norm=0.01)
    result = step([batch(16)], scalars)
    moved = np.sqrt(sum(np.sum((value - before[name]) ** 2) for name, value in trained_values(small_model).items()))
    assert result.gradient_norm > 0.1
    assert moved == pytest.approx(0.1 * 0.01, rel=1e-3)   # lr * limit


@pytest.mark.parametrize("norm, limit, factor", [(10.0, 5.0, 0.5), (1.0, 5.0, 1.0), (1e9, None, 1.0)])
def test_clip_factor(norm, limit, factor):
    assert clip_factor(norm, limit) == pytest.approx(factor, rel=1e-6)


def test_share_and_drop_paths_reach_a_compiled_step():
    model = SmallNet(drop_path_rate=0.5)
    step_inputs.prepare_drops(model, 16)
    step, scalars = step_of(model)
    data, losses = batch(16), []
    for share, seed in [(1.0, 0), (0.0, 0), (0.0, 1), (1.0, 0)]:
        step_inputs.set_layer_norm_share(model, share)
        step_inputs.draw_drops(model, np.random.default_rng(seed))
        losses.append(step([data], scalars * 0).loss)   # rate 0: the weights stay, the inputs alone differ
    assert len(set(losses[:3])) == 3
    assert losses[3] == losses[0]


def test_new_values_do_not_compile_anew(small_model):
    step, scalars = step_of(small_model, clip_grad_norm=1.0)

    def timed(number: int) -> float:
        step_inputs.set_layer_norm_share(small_model, 1 / (number + 1))
        started = time.process_time()
        step([batch(16, seed=number)], scalars / (number + 1))
        return time.process_time() - started

    first = timed(0)
    # Compiling takes hundreds of times a step of this net; a tenth leaves room for a busy machine.
    assert np.median([timed(number) for number in range(1, 6)]) < first / 10


def test_a_step_that_overflows_is_left_out(small_model):
    loss_scale = LossScale(enabled=True)
    loss_scale.value = 2.0**127
    step, scalars = step_of(small_model, loss_scale, amp_level="O1")
    before = values(small_model)
    result = step([batch(16)], scalars)
    assert not result.applied and np.isfinite(result.loss)
    assert (loss_scale.value, loss_scale.skipped_steps) == (2.0**126, 1)
    assert all(np.array_equal(value, before[name]) for name, value in trained_values(small_model).items())
    loss_scale.value = 1024.0
    assert step([batch(16)], scalars).applied
    assert not np.array_equal(values(small_model)["head.weight"], before["head.weight"])
