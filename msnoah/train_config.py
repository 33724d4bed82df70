"""The sections of a config that say how a model is trained."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from msnoah.config_section import Count, Fraction, NotNegative, Positive, Section


class WeightGroupConfig(Section):
    """Weights whose names hold `contains`, as in {contains: backbone, lr: 0.1}."""

    contains: str
    lr: Positive = 1.0   # times the learning rate of all
    decay: bool = True


class OptimizerConfig(Section):
    """AdamW (decoupled decay, bias correction) or SGD with momentum. Names in `no_decay` are not decayed, nor 1-D weights unless `decay_1d`."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 5e-4
    lr_batch: Count | None = None  # lr is multiplied by (batch_size * accumulate) / lr_batch, or by the root of it:
    lr_rule: Literal["linear", "sqrt"] = "linear"
    weight_decay: NotNegative = 0.05
    no_decay: list[str] = []
    decay_1d: bool = False   # decay biases and norms too
    groups: list[WeightGroupConfig] = []   # the first that a weight belongs to counts
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Positive = 1e-8
    momentum: Fraction = 0.9
    nesterov: bool = False

    @model_validator(mode="after")
    def _rule_of_a_batch(self):
        if self.lr_rule != "linear" and not self.lr_batch:
            raise ValueError("lr_rule says how lr grows with the batch, so it needs lr_batch, the batch that lr is for")
        return self


class ScheduleConfig(Section):
    """Learning rate per optimiser step: linear warm-up, then cosine, poly or steps; `cooldown_epochs` stay at min_lr."""

    name: Literal["constant", "cosine", "poly", "step"] = "cosine"
    warmup_epochs: NotNegative = 0.0
    warmup_lr: NotNegative = 0.0
    min_lr: NotNegative = 0.0
    cooldown_epochs: NotNegative = 0.0
    power: Positive = 0.9
    milestones: list[NotNegative] = []
    gamma: Positive = 0.1


class MixupConfig(Section):
    """Mixup or CutMix of a batch with its mirror image, one draw a batch (Zhang 2018, Yun 2019)."""

    mixup_alpha: NotNegative = 0.8
    cutmix_alpha: NotNegative = 1.0
    probability: Fraction = 1.0
    switch_probability: Fraction = 0.5


class ProgressiveNormConfig(Section):
    """PRepBN's ramp: `warm_steps` of pure LayerNorm, then its share falls from `start` to 0 over `steps` optimiser steps."""

    steps: Count
    warm_steps: Annotated[int, Field(ge=0)] = 0
    start: Fraction = 1.0


def _check_distinct(degrees: list[int]) -> list[int]:
    repeated = [degree for number, degree in enumerate(degrees) if degree in degrees[:number]]
    if repeated:
        raise ValueError(f"names {repeated[0]} twice; each is drawn as often as the others, so name it once")
    return degrees


class CompensationConfig(Section):
    """ToCom's pre-training: each step draws two degrees; the plugin learns to answer at one as the model does at the other."""

    degrees: Annotated[list[Annotated[int, Field(ge=0, le=16)]], Field(min_length=2),
                       AfterValidator(_check_distinct)] = list(range(17))
    temperature: Positive = 1.0   # of the softmax whose Kullback-Leibler divergence is the loss


class TrainConfig(Section):
    """How the model is trained."""

    epochs: Count
    batch_size: Count = 128
    eval_batch_size: Count | None = None
    accumulate: Count = 1
    repeats: Count = 1   # an epoch's images come so often, each time augmented anew, and so many fewer of them
    # only weights with one of these in their names are trained; if left out all, or the plugin if there is compensation
    trainable: list[str] = []
    compensation: CompensationConfig | None = None
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    amp_level: Literal["O0", "O1", "O2", "O3"] = "O0"
    clip_grad_norm: Positive | None = None
    non_finite: Literal["stop", "skip"] = "stop"   # at a loss or gradients that are no finite numbers
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mixup: MixupConfig | None = None
    sync_batch_norm: bool = False   # statistics over the batch of all workers, not of each worker's share
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    progressive_norm: ProgressiveNormConfig | None = None
    bn_reestimation_epochs: Annotated[int, Field(ge=0)] = 0
    eval_every: Count = 1
    checkpoint_every_steps: Count | None = None
    mode: Literal["graph", "pynative"] = "graph"

    @model_validator(mode="after")
    def _compensation_of_a_frozen_model(self):
        changing = next((key for key in ("progressive_norm", "bn_reestimation_epochs") if getattr(self, key)), None)
        if self.compensation and changing:
            raise ValueError(f"{changing} changes the model that compensation leaves as it is; leave one of them out")
        return self

    @property
    def trained_parts(self) -> list[str]:
        """Parts of the names of weights that are trained; empty where all are."""
        return self.trainable or (["_tocom."] if self.compensation else [])
