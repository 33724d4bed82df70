"""Learning rate and PRepBN share as pure functions of the optimiser step, so that a resumed run needs no counters."""

import math

from msnoah.errors import ConfigError
from msnoah.train_config import ProgressiveNormConfig, TrainConfig


def check_schedule(train: TrainConfig) -> None:
    """Refuses a schedule that leaves no epoch between its start and its cool-down (ConfigError)."""
    cooldown = train.schedule.cooldown_epochs
    if cooldown >= train.epochs:
        raise ConfigError(f"train.schedule.cooldown_epochs is {cooldown:g}, expected less than train.epochs, "
                          f"{train.epochs}")


def learning_rate(step: int, train: TrainConfig, steps_per_epoch: int) -> float:
    """Learning rate of optimiser step `step`, counted from 0.

    Linear warm-up from warmup_lr to lr; after it the curve is evaluated at the absolute step, warm-up included, as
    timm 0.4.12 does without a warm-up prefix; the last cool-down epochs stay at min_lr. With `lr_batch` set, lr,
    warmup_lr and min_lr are all multiplied by (batch_size * accumulate) / lr_batch.
    """
    schedule, factor = train.schedule, _batch_factor(train)
    base, low = train.optimizer.lr * factor, schedule.min_lr * factor
    warmup_steps = schedule.warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        start = schedule.warmup_lr * factor
        return start + (base - start) * step / warmup_steps
    done = step / ((train.epochs - schedule.cooldown_epochs) * steps_per_epoch)
    if done >= 1:
        return low
    return _CURVES[schedule.name](train, base, low, done, step / steps_per_epoch)


def progressive_share(step: int, config: ProgressiveNormConfig) -> tuple[float, bool]:
    """LayerNorm's share in PRepBN at optimiser step `step`, and whether BatchNorm is still left out altogether.

    Pure LayerNorm for `warm_steps`, then start * max(steps - k, 0) / steps at the k-th step after them (SLAB, section
    3.1: gamma = (T - T_cur) / T). It moves once per optimiser step: with gradient accumulation all forward passes of a
    step share one value, where the authors' layers count forward passes.
    """
    if step < config.warm_steps:
        return 1.0, True
    return config.start * max(config.steps - (step - config.warm_steps), 0) / config.steps, False


def _batch_factor(train: TrainConfig) -> float:
    """How much larger the rate is than for a batch of lr_batch samples: in proportion (Goyal 2017), or as the root, at
    which Adam's steps keep their noise (Malladi 2022)."""
    lr_batch = train.optimizer.lr_batch
    ratio = train.batch_size * train.accumulate / lr_batch if lr_batch else 1.0
    return math.sqrt(ratio) if train.optimizer.lr_rule == "sqrt" else ratio


def _constant(train: TrainConfig, base: float, low: float, done: float, epoch: float) -> float:
    return base


def _cosine(train: TrainConfig, base: float, low: float, done: float, epoch: float) -> float:
    return low + 0.5 * (base - low) * (1 + math.cos(math.pi * done))


def _poly(train: TrainConfig, base: float, low: float, done: float, epoch: float) -> float:
    return low + (base - low) * (1 - done) ** train.schedule.power


def _step(train: TrainConfig, base: float, low: float, done: float, epoch: float) -> float:
    passed = sum(epoch >= milestone for milestone in train.schedule.milestones)
    return max(base * train.schedule.gamma**passed, low)


_CURVES = {"constant": _constant, "cosine": _cosine, "poly": _poly, "step": _step}
