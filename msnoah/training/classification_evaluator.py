"""Evaluation of classifiers: every batch has one shape, the last one is padded and only its real samples count."""

from collections.abc import Iterable

from mindspore import Tensor, nn

from msnoah.data.batches import Batch
from msnoah.metrics.classification import ClassificationMetrics
from msnoah.training.train_step import compiled, forward_of


class ClassificationEvaluator:
    """Runs a model over a data set; compiled once, whatever weights the model holds later."""

    def __init__(self, model: nn.Cell, mode: str, rows: int | None = None):
        """`rows` is not needed: batches come in one size."""
        self._model, self._predict = model, compiled(forward_of(model), mode)

    def __call__(self, batches: Iterable[Batch], classes: int) -> ClassificationMetrics:
        """Metrics of the model in evaluation mode over the batches."""
        self._model.set_train(False)
        metrics = ClassificationMetrics(classes)
        for batch in batches:
            logits = self._predict(Tensor(batch.images)).asnumpy()   # (B * views, C, [T,] H, W) -> (B * views, K)
            metrics.update(logits[: batch.count * batch.views], batch.labels[: batch.count], batch.views)
        return metrics
