"""One optimiser step as compiled functions: forward, backward, clipping and update.

The learning rate and all else that the host decides enter as tensors, so that nothing is compiled twice.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops

from msnoah.data.batches import Batch
from msnoah.train_config import TrainConfig
from msnoah.training.gradient_averaging import Average, average_gradients
from msnoah.training.gradients import clip_factor, global_norm
from msnoah.training.loss_scale import LossScale, Outcome, outcome_of
from msnoah.training.losses import soft_target_cross_entropy
from msnoah.training.worker_group import ALONE, WorkerGroup

Loss = Callable[[Tensor, Tensor], Tensor]


class StepResult(NamedTuple):
    """What a step found and what it saw."""

    losses: tuple[float, ...]      # by batch
    gradient_norm: float           # before clipping
    applied: bool                  # whether the weights were updated
    batches: tuple[Batch, ...]     # the arrays that were computed with

    @property
    def loss(self) -> float:
        """The mean over the batches."""
        return float(np.mean(self.losses))


class FusedStep:
    """Forward, backward, clipping and update of one batch in one compiled function (no accumulation, float32)."""

    def __init__(self, model: nn.Cell, optimizer: nn.Cell, train: TrainConfig, loss: Loss, group: WorkerGroup):
        compute = ms.value_and_grad(_loss_of(model, loss), None, optimizer.parameters)
        average, limit = average_gradients(optimizer.parameters, group), train.clip_grad_norm

        def step(images, targets, scalars):
            loss, gradients = compute(images, targets)
            if average is not None:
                gradients = average(gradients)
            norm = global_norm(gradients)
            if limit is not None:
                factor = ops.minimum(limit / (norm + 1e-6), Tensor(1.0, ms.float32))
                gradients = tuple([gradient * factor for gradient in gradients])
            optimizer(gradients, scalars)
            return loss, norm

        self._step, self._group = compiled(step, train.mode), group
        self.compiles = True   # at the next call

    def __call__(self, batches: Iterable[Batch], scalars: np.ndarray) -> StepResult:
        """Takes one step on the only batch of `batches`, with the optimiser's step_scalars."""
        (batch,) = batches
        loss, norm = self._step(Tensor(batch.images), Tensor(batch.targets), Tensor(scalars))
        self.compiles = False
        return StepResult(self._group.means([float(loss)]), float(norm), True, (batch,))


class AccumulatedStep:
    """Gradients of several batches are added up, then clipped and applied; under AMP they are scaled against underflow.

    A step whose loss or gradients are not finite is left out: weights and moments stay. The loss scale is lowered where
    gradients overflowed; it mends no loss, which is taken before the scale.
    """

    def __init__(self, model: nn.Cell, optimizer: nn.Cell, train: TrainConfig, loss: Loss, loss_scale: LossScale,
                 group: WorkerGroup):
        self._sums = optimizer.parameters.clone("gradient_sum", init="zeros")
        self._accumulate = compiled(_accumulation(_loss_of(model, loss), optimizer.parameters, self._sums), train.mode)
        self._apply = compiled(_application(optimizer, self._sums), train.mode)
        self._norm = compiled(_norm_of(self._sums, average_gradients(self._sums, group)), train.mode)
        self._clear = compiled(_clearing(self._sums), train.mode)
        self._count, self._limit, self._loss_scale = train.accumulate, train.clip_grad_norm, loss_scale
        self._group = group
        self.compiles = True   # at the next call

    def __call__(self, batches: Iterable[Batch], scalars: np.ndarray) -> StepResult:
        """Takes one step on all of `batches`, with the optimiser's step_scalars."""
        scale = self._loss_scale.value
        weight = Tensor(scale / self._count, ms.float32)
        self._clear()
        losses, seen = [], []
        for batch in batches:
            losses.append(float(self._accumulate(Tensor(batch.images), Tensor(batch.targets), weight)))
            seen.append(batch)
        losses, norm = self._group.means(losses), float(self._norm()) / scale
        self.compiles = False
        outcome = outcome_of(losses, norm)
        self._loss_scale.adjust(outcome)
        if outcome is Outcome.FINITE:
            self._apply(Tensor(scalars), Tensor(clip_factor(norm, self._limit) / scale, ms.float32))
        return StepResult(losses, norm, outcome is Outcome.FINITE, tuple(seen))


def create_step(
    model: nn.Cell, optimizer: nn.Cell, train: TrainConfig, loss_scale: LossScale,
    loss: Loss = soft_target_cross_entropy, group: WorkerGroup = ALONE,
) -> FusedStep | AccumulatedStep:
    """The cheaper form that the config allows, which takes every step; it compiles at its first call. Losses and
    gradients are those of all workers, so all take the same step."""
    if train.accumulate == 1 and train.amp_level == "O0" and train.non_finite == "stop":
        return FusedStep(model, optimizer, train, loss, group)
    return AccumulatedStep(model, optimizer, train, loss, loss_scale, group)


def compiled(function: Callable, mode: str) -> Callable:
    """The function for graph mode, or as it is for pynative, where a debugger can step through it."""
    return ms.jit(function) if mode == "graph" else function


def forward_of(model: nn.Cell) -> Callable:
    """The model as a function that `compiled` takes."""
    def forward(images):
        return model(images)

    return forward


def _loss_of(model: nn.Cell, loss: Loss) -> Callable:
    def loss_of_batch(images, targets):
        return loss(model(images), targets)

    return loss_of_batch


def _accumulation(loss_of_batch: Callable, parameters: ParameterTuple, sums: ParameterTuple) -> Callable:
    def weighted(images, targets, weight):
        loss = loss_of_batch(images, targets)
        return loss * weight, loss

    compute = ms.value_and_grad(weighted, None, parameters, has_aux=True)

    def accumulate(images, targets, weight):
        (_, loss), gradients = compute(images, targets, weight)
        for i in range(len(sums)):
            ops.assign_add(sums[i], gradients[i])
        return loss

    return accumulate


def _application(optimizer: nn.Cell, sums: ParameterTuple) -> Callable:
    def apply(scalars, factor):
        return optimizer(tuple([gradient * factor for gradient in sums]), scalars)

    return apply


def _norm_of(sums: ParameterTuple, average: Average | None) -> Callable:
    """The norm of the sums; with other workers, after they became those of all."""
    def norm():
        return global_norm(sums)

    def norm_of_average():
        averaged = average(tuple([gradient for gradient in sums]))
        for i in range(len(sums)):
            ops.assign(sums[i], averaged[i])
        return global_norm(averaged)

    return norm if average is None else norm_of_average


def _clearing(sums: ParameterTuple) -> Callable:
    def clear():
        for i in range(len(sums)):
            ops.assign(sums[i], ops.zeros_like(sums[i]))
        return 0

    return clear
