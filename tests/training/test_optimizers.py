"""Against the published formulas in float64 numpy, over 20 steps."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from msnoah.errors import ConfigError
from msnoah.train_config import OptimizerConfig
from msnoah.training.optimizers import create_optimizer, optimizer_state
from msnoah.training.train_step import compiled

SHAPES = {"head.weight": (4, 5), "head.bias": (7,), "norm.alpha": (1,), "pos_embed": (1, 3, 2)}
DECAYED = {"head.weight"}
STEPS = 20
GROUPS = [{"contains": "head", "lr": 0.1}, {"contains": "norm", "decay": False}, {"contains": "head.w", "lr": 5}]


def parameters() -> list[Parameter]:
    random = np.random.default_rng(0)
    return [Parameter(Tensor(random.standard_normal(shape).astype(np.float32)), name=name)
            for name, shape in SHAPES.items()]


def gradients() -> list[list[np.ndarray]]:
    """From 1e-9, where eps matters, to 10."""
    random = np.random.default_rng(1)
    return [[(random.standard_normal(shape) * 10.0 ** random.integers(-9, 2)).astype(np.float32)
             for shape in SHAPES.values()] for _ in range(STEPS)]


def rate(step: int, name: str = "", config: OptimizerConfig | None = None) -> float:
    factor = 0.1 if config and config.groups and name.startswith("head") else 1
    return factor * 1e-2 / (step + 1)


def is_decayed(name: str, config: OptimizerConfig) -> bool:
    return name in DECAYED or config.decay_1d and name not in ("pos_embed", "norm.alpha")


def adamw(config: OptimizerConfig) -> list[np.ndarray]:
    values = [p.asnumpy().astype(np.float64) for p in parameters()]
    first, second = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
    b1, b2 = config.betas
    for t, step_gradients in enumerate(gradients(), 1):
        for i, (name, g) in enumerate(zip(SHAPES, step_gradients)):
            g = g.astype(np.float64)
            lr = rate(t - 1, name, config)
            values[i] *= 1 - lr * (config.weight_decay if is_decayed(name, config) else 0)
            first[i] = b1 * first[i] + (1 - b1) * g
            second[i] = b2 * second[i] + (1 - b2) * g * g
            values[i] -= lr * (first[i] / (1 - b1**t)) / (np.sqrt(second[i] / (1 - b2**t)) + config.eps)
    return values


def sgd(config: OptimizerConfig) -> list[np.ndarray]:
    values = [p.asnumpy().astype(np.float64) for p in parameters()]
    momenta = [np.zeros_like(v) for v in values]
    for step, step_gradients in enumerate(gradients()):
        for i, (name, g) in enumerate(zip(SHAPES, step_gradients)):
            g = g + (config.weight_decay if is_decayed(name, config) else 0) * values[i]
            momenta[i] = config.momentum * momenta[i] + g
            values[i] -= rate(step, name, config) * (g + config.momentum * momenta[i] if config.nesterov else momenta[i])
    return values


REFERENCES = {"adamw": adamw, "sgd": sgd}


@pytest.mark.parametrize("mode", ["graph", "pynative"])
@pytest.mark.parametrize("settings", [{"name": "adamw"}, {"name": "adamw", "betas": (0.8, 0.95), "eps": 1e-6},
                                      {"name": "adamw", "groups": GROUPS, "decay_1d": True},
                                      {"name": "sgd"}, {"name": "sgd", "nesterov": True},
                                      {"name": "sgd", "groups": GROUPS, "decay_1d": True}])
def test_twenty_steps_of_the_published_formula(settings, mode):
    config = OptimizerConfig(weight_decay=0.3, no_decay=["pos_embed"], **settings)
    optimizer = create_optimizer(parameters(), config)

    def update(gradients, scalars):
        return optimizer(gradients, scalars)

    update = compiled(update, mode)
    for step, step_gradients in enumerate(gradients()):
        update(ms.mutable(tuple(Tensor(g) for g in step_gradients)), Tensor(optimizer.step_scalars(rate(step), step)))
    # float32 against float64: 20 roundings of numbers up to 10 (SGD moves that far), 2^-24 each
    for parameter, expected in zip(optimizer.parameters, REFERENCES[config.name](config)):
        np.testing.assert_allclose(parameter.asnumpy(), expected, rtol=2e-6, atol=2e-6 * max(1, abs(expected).max()))


def test_names_of_weights_stay_and_moments_are_listed():
    weights = parameters()
    optimizer = create_optimizer(weights, OptimizerConfig())
    assert [w.name for w in weights] == list(SHAPES)
    state = optimizer_state(optimizer)
    assert len(state) == 2 * len(SHAPES)
    assert {"first_moment.head.weight", "second_moment.pos_embed"} < set(state)


def test_a_group_of_no_weight_is_refused():
    with pytest.raises(ConfigError, match="no weight's name holds 'backbone'; names begin with head, norm, pos_embed"):
        create_optimizer(parameters(), OptimizerConfig(groups=[{"contains": "backbone"}]))
