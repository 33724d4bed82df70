"""Evaluation of segmentation models: images of any size through windows of the one size that is compiled."""

from collections.abc import Iterable

import numpy as np
from mindspore import Tensor, nn

from msnoah.data.label_map import join
from msnoah.data.segmentation_batches import Windows
from msnoah.metrics.segmentation import SegmentationMetrics
from msnoah.training.train_step import compiled, forward_of


class SegmentationEvaluator:
    """Runs a model over a data set; compiled once, whatever weights the model holds later."""

    def __init__(self, model: nn.Cell, mode: str, rows: int = 1):
        """`rows` windows go through the model at a time."""
        self._model, self._predict, self._rows = model, compiled(forward_of(model), mode), rows

    def __call__(self, images: Iterable[Windows | None], classes: int) -> SegmentationMetrics:
        """Metrics of the model in evaluation mode over the images; None is one that was skipped."""
        self._model.set_train(False)
        metrics = SegmentationMetrics(classes)
        for windows in filter(None, images):
            metrics.update(join(self._logits(windows.images), windows.plan), windows.mask)
        return metrics

    def _logits(self, images: np.ndarray) -> np.ndarray:
        """(n, C, H, W) -> (n, K, h, w); the last rows are filled up, so that every call has one shape."""
        parts = []
        for start in range(0, len(images), self._rows):
            part = images[start:start + self._rows]
            filled = np.pad(part, ((0, self._rows - len(part)), (0, 0), (0, 0), (0, 0)))
            parts.append(self._predict(Tensor(filled)).asnumpy()[:len(part)])
        return np.concatenate(parts)
