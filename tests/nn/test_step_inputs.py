"""What the trainer hands to a model before a step."""

import mindspore as ms
import numpy as np
from mindspore import nn

from msnoah.nn.drop_path import DropPath, drop_path, drop_path_rates
from msnoah.nn.rep_norm import ProgressiveRepBatchNorm
from msnoah.nn.step_inputs import count_parameters, draw_drops, prepare_drops, set_layer_norm_share, weights

X = ms.Tensor(np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32))


class Branches(nn.Cell):
    def __init__(self):
        super().__init__()
        self.norm = ProgressiveRepBatchNorm(4)
        self.first = drop_path(0.5)
        self.second = drop_path(0.25)

    def construct(self, x):
        return self.second(self.first(self.norm(x)))


def _drawn(model, seed: int) -> list[np.ndarray]:
    draw_drops(model, np.random.default_rng(seed))
    return [path.keep_scale.asnumpy().copy() for path in (model.first, model.second)]


def test_one_seed_draws_one_set_of_paths_and_another_seed_another():
    model = Branches()
    prepare_drops(model, 64)
    first, again, other = _drawn(model, 1), _drawn(model, 1), _drawn(model, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other))
    assert {0.0, 2.0} == set(first[0].ravel().tolist())
    assert len(set(first[1].ravel().tolist())) == 2 and np.isclose(first[1].max(), 4 / 3)


def test_dropped_samples_are_zero_in_training_and_all_are_kept_in_evaluation():
    path = DropPath(0.5)
    prepare_drops(path, 6)
    path.keep_scale.set_data(ms.Tensor(np.array([0, 2, 0, 2, 2, 2], np.float32).reshape(6, 1, 1)))
    assert np.array_equal(path(X).asnumpy(), X.asnumpy())
    path.set_train()
    assert np.array_equal(path(X).asnumpy(), X.asnumpy() * path.keep_scale.asnumpy())


def test_compiled_step_reads_the_step_inputs_anew():
    model = Branches()
    prepare_drops(model, 6)
    model.set_train()

    @ms.jit
    def step(x):
        return model(x)

    outputs = []
    for share, seed in ((1.0, 1), (0.0, 1), (0.0, 2)):
        set_layer_norm_share(model, share)
        draw_drops(model, np.random.default_rng(seed))
        outputs.append(step(X).asnumpy())
        assert np.allclose(outputs[-1], model(X).asnumpy(), atol=1e-6)
    assert not np.allclose(outputs[0], outputs[1]) and not np.allclose(outputs[1], outputs[2])


def test_step_inputs_are_no_weights_and_statistics_are_not_counted():
    model = Branches()
    assert sorted(weights(model)) == [
        "norm.norm1.beta", "norm.norm1.gamma", "norm.norm2.alpha", "norm.norm2.bn.beta", "norm.norm2.bn.gamma",
        "norm.norm2.bn.moving_mean", "norm.norm2.bn.moving_variance",
    ]
    assert count_parameters(model) == 4 * 4 + 1
    assert model.trainable_params() == [p for name, p in weights(model).items() if "moving" not in name]


def test_rates_rise_from_none_to_the_last():
    assert drop_path_rates(0.3, 4) == [0.0, 0.09999999999999999, 0.19999999999999998, 0.3]
    assert isinstance(drop_path(0.0), nn.Identity)
