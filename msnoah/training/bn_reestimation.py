"""Re-estimation of BatchNorm statistics after the last epoch, which is part of SLAB's recipe."""

from collections.abc import Iterable

from mindspore import Tensor, nn, ops

from msnoah.data.batches import Batch
from msnoah.training.non_finite import NonFiniteGuard
from msnoah.training.train_step import compiled


class BatchNormReestimation:
    """Forward passes over training batches with all in evaluation mode but BatchNorm: weights and gamma, beta stay."""

    def __init__(self, model: nn.Cell, mode: str):
        self._model = model

        def forward(images):
            return ops.isfinite(model(images)).all()   # the moving statistics are what changes

        self._forward = compiled(forward, mode)

    def __call__(self, batches: Iterable[Batch], guard: NonFiniteGuard | None = None, number: int = 1) -> None:
        """One pass, the run's `number`-th; the model is left in evaluation mode. No guard: nobody looks at outputs.

        Raises:
            TrainingError: outputs that are not finite, where the guard does not skip such a batch.
        """
        self._model.set_train(False)
        for norm in batch_norms(self._model):
            norm.set_train(True)
        for batch_number, batch in enumerate(batches, 1):
            if guard:
                guard.prepare()
            finite = bool(self._forward(Tensor(batch.images)))   # waits for it, too
            if guard and not finite:
                guard.settle_forward(batch, f"BatchNorm pass {number}, batch {batch_number}")
        self._model.set_train(False)


def batch_norms(model: nn.Cell) -> list[nn.Cell]:
    """Every Cell of the model that keeps moving statistics."""
    return [cell for _, cell in model.cells_and_names() if hasattr(cell, "moving_mean")]
