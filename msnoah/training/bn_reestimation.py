"""Re-estimation of BatchNorm statistics after the last epoch, which is part of SLAB's recipe."""

from collections.abc import Iterable

from mindspore import Tensor, nn

from msnoah.data.batches import Batch
from msnoah.training.train_step import compiled


class BatchNormReestimation:
    """Forward passes over training batches with all in evaluation mode but BatchNorm: weights and gamma, beta stay."""

    def __init__(self, model: nn.Cell, mode: str):
        self._model = model

        def forward(images):
            return model(images).sum()   # a value to wait for; the moving statistics are what changes

        self._forward = compiled(forward, mode)

    def __call__(self, batches: Iterable[Batch]) -> None:
        """One pass; the model is left in evaluation mode."""
        self._model.set_train(False)
        for norm in batch_norms(self._model):
            norm.set_train(True)
        for batch in batches:
            self._forward(Tensor(batch.images)).asnumpy()
        self._model.set_train(False)


def batch_norms(model: nn.Cell) -> list[nn.Cell]:
    """Every Cell of the model that keeps moving statistics."""
    return [cell for _, cell in model.cells_and_names() if hasattr(cell, "moving_mean")]
