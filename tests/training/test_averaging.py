import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops
from test_train_step import batch, values

from msnoah.nn import step_inputs
from msnoah.training.averaging import WeightAverage
from msnoah.training.bn_reestimation import BatchNormReestimation
from msnoah.training.classification_evaluator import ClassificationEvaluator


@pytest.mark.parametrize("mode", ["graph", "pynative"])
def test_average_follows_weights_and_statistics(small_model, mode):
    weights = step_inputs.weights(small_model)
    average = WeightAverage(weights, 0.75, mode)
    expected, random = values(small_model), np.random.default_rng(0)
    for _ in range(4):
        for name, weight in weights.items():
            ops.assign(weight, Tensor(random.standard_normal(weight.shape).astype(np.float32)))
            expected[name] = 0.75 * expected[name] + 0.25 * weight.asnumpy()
        average.update()
    for name, value in expected.items():
        np.testing.assert_allclose(average.averages[name].asnumpy(), value, rtol=1e-6, atol=1e-6, err_msg=name)
    assert "norm.norm2.bn.moving_mean" in expected


def test_a_compiled_model_computes_with_the_averages_and_then_with_its_own(small_model):
    evaluate, data = ClassificationEvaluator(small_model, "graph"), [batch(16)]
    average = WeightAverage(step_inputs.weights(small_model), 0.5)
    first = evaluate(data, 10).result()["loss"]
    ops.assign(small_model.head.weight, small_model.head.weight * 3)
    own = evaluate(data, 10).result()["loss"]
    with average.applied():
        assert evaluate(data, 10).result()["loss"] == first
    assert evaluate(data, 10).result()["loss"] == own != first
    average.replace_weights()
    assert evaluate(data, 10).result()["loss"] == first


@pytest.mark.parametrize("mode", ["graph", "pynative"])
def test_reestimation_moves_statistics_alone(small_model, mode):
    before, data = values(small_model), batch(16)
    BatchNormReestimation(small_model, mode)([data])
    after = values(small_model)
    assert {name for name in before if not np.array_equal(before[name], after[name])} == {
        "norm.norm2.bn.moving_mean", "norm.norm2.bn.moving_variance"}
    embedded = data.images.reshape(16, -1) @ before["embed.weight"].T + before["embed.bias"]
    # 0.9 old + 0.1 new, from 0; float32 sums
    np.testing.assert_allclose(after["norm.norm2.bn.moving_mean"], 0.1 * embedded.mean(0), atol=1e-6)
    assert not any(cell.training for _, cell in small_model.cells_and_names())


def test_padding_does_not_count(small_model):
    data = batch(16)
    padded = type(data)(data.images, data.targets, data.labels, 5)
    metrics = ClassificationEvaluator(small_model, "graph")([data, padded], 10)
    small_model.set_train(False)
    logits = small_model(ms.Tensor(data.images)).asnumpy()
    hits = logits.argmax(1) == data.labels
    assert metrics.count == 21
    assert metrics.result()["top1"] == pytest.approx((hits.sum() + hits[:5].sum()) / 21)
