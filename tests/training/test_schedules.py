import math

import pytest

from msnoah.errors import ConfigError
from msnoah.train_config import ProgressiveNormConfig, TrainConfig
from msnoah.training.schedules import check_schedule, learning_rate, progressive_share

BASE, LOW = 1.0, 0.1


def settings(epochs=10, batch_size=128, accumulate=1, lr_batch=None, lr_rule="linear", **schedule) -> TrainConfig:
    batches = {"batch_size": batch_size, "accumulate": accumulate}
    optimizer = {"lr": BASE, "lr_batch": lr_batch, "lr_rule": lr_rule}
    return TrainConfig(epochs=epochs, optimizer=optimizer, schedule=schedule, **batches)


def cosine(t: float) -> float:
    return LOW + 0.5 * (BASE - LOW) * (1 + math.cos(math.pi * t))


# (schedule, step of 10 epochs of 5 steps, learning rate)
CASES = [
    ({"name": "constant"}, 49, BASE),
    ({"name": "cosine"}, 0, BASE),
    ({"name": "cosine"}, 25, cosine(0.5)),
    ({"name": "cosine", "warmup_epochs": 2, "warmup_lr": 0.2}, 0, 0.2),
    ({"name": "cosine", "warmup_epochs": 2, "warmup_lr": 0.2}, 5, 0.6),
    ({"name": "cosine", "warmup_epochs": 2, "warmup_lr": 0.2}, 10, cosine(0.2)),   # no warm-up prefix
    ({"name": "cosine", "cooldown_epochs": 5}, 20, cosine(0.8)),
    ({"name": "cosine", "cooldown_epochs": 5}, 25, LOW),
    ({"name": "cosine", "cooldown_epochs": 5}, 49, LOW),
    ({"name": "poly", "power": 2.0}, 25, LOW + (BASE - LOW) * 0.25),
    ({"name": "step", "milestones": [4, 8], "gamma": 0.5}, 19, 1.0),
    ({"name": "step", "milestones": [4, 8], "gamma": 0.5}, 20, 0.5),
    ({"name": "step", "milestones": [4, 8], "gamma": 0.5}, 45, 0.25),
]


@pytest.mark.parametrize("schedule, step, expected", CASES)
def test_learning_rate(schedule, step, expected):
    train = settings(**{"min_lr": LOW, **schedule})
    assert learning_rate(step, train, steps_per_epoch=5) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rule, accumulate, factor", [("linear", 4, 2), ("sqrt", 4, 2**0.5), ("sqrt", 32, 4)])
def test_lr_batch_scales_all_three_rates(rule, accumulate, factor):
    schedule = {"name": "cosine", "warmup_epochs": 2, "warmup_lr": 0.2, "min_lr": LOW, "cooldown_epochs": 1}
    plain = settings(**schedule)
    scaled = settings(batch_size=256, accumulate=accumulate, lr_batch=512, lr_rule=rule, **schedule)
    for step in (0, 3, 12, 30, 48):
        assert learning_rate(step, scaled, 5) == pytest.approx(factor * learning_rate(step, plain, 5), rel=1e-12)


def test_a_rule_goes_with_the_batch_that_the_rate_is_for():
    with pytest.raises(ValueError, match="lr_rule says how lr grows with the batch, so it needs lr_batch"):
        settings(lr_rule="sqrt")


def test_authors_rates_at_batch_1024():
    train = TrainConfig(epochs=300, batch_size=1024, optimizer={"lr": 5e-4, "lr_batch": 512},
                        schedule={"name": "cosine", "warmup_epochs": 20, "warmup_lr": 5e-7, "min_lr": 5e-6})
    assert learning_rate(0, train, 1251) == pytest.approx(1e-6, rel=1e-12)
    after_warmup = 1e-5 + 0.5 * 9.9e-4 * (1 + math.cos(math.pi / 15))
    assert learning_rate(20 * 1251, train, 1251) == pytest.approx(after_warmup, rel=1e-12)


# (config, step, share, warm)
SHARES = [
    ({"steps": 10}, 0, 1.0, False),
    ({"steps": 10}, 4, 0.6, False),
    ({"steps": 10}, 10, 0.0, False),
    ({"steps": 10}, 999, 0.0, False),
    ({"steps": 10, "start": 0.5}, 5, 0.25, False),
    ({"steps": 10, "warm_steps": 3}, 2, 1.0, True),
    ({"steps": 10, "warm_steps": 3}, 3, 1.0, False),
    ({"steps": 10, "warm_steps": 3}, 8, 0.5, False),
]


@pytest.mark.parametrize("config, step, share, warm", SHARES)
def test_progressive_share(config, step, share, warm):
    assert progressive_share(step, ProgressiveNormConfig(**config)) == (pytest.approx(share), warm)


def test_a_cooldown_longer_than_the_training_is_refused():
    with pytest.raises(ConfigError, match="cooldown_epochs is 10, expected less than train.epochs, 10"):
        check_schedule(settings(cooldown_epochs=10))
