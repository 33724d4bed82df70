"""Classification metrics, gathered batch by batch in numpy."""

from typing import Any

import numpy as np


class ClassificationMetrics:
    """Top-1, top-5, cross entropy and confusion counts over a data set of `classes` classes."""

    def __init__(self, classes: int):
        self.confusion = np.zeros((classes, classes), np.int64)   # row: label, column: prediction
        self._loss_sum = 0.0
        self._top5_hits = 0

    def update(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Adds a batch: logits (B, K) of any float type, labels (B,) of any integer type."""
        logits = logits.astype(np.float64)
        rows = np.arange(len(labels))
        np.add.at(self.confusion, (labels, logits.argmax(1)), 1)
        own = logits[rows, labels]
        peak = logits.max(1)
        self._loss_sum += float(np.sum(peak + np.log(np.exp(logits - peak[:, None]).sum(1)) - own))
        # Ties and logits that are no numbers count against the label, so that a constant model scores 0, not 100 %.
        above = np.sum(~(logits < own[:, None]), axis=1) - 1
        self._top5_hits += int(np.sum(above < 5))

    @property
    def count(self) -> int:
        """Images seen so far."""
        return int(self.confusion.sum())

    def result(self) -> dict[str, Any]:
        """top1 and loss; top5 from 5 classes on; per_class accuracy (None for a class without images)."""
        count = self.count
        record = {"top1": float(self.confusion.trace() / count), "loss": self._loss_sum / count, "images": count}
        if len(self.confusion) >= 5:
            record["top5"] = self._top5_hits / count
        totals = self.confusion.sum(1)
        record["majority_class_rate"] = float(totals.max() / count)
        hits = self.confusion.diagonal()
        record["per_class"] = [float(hit / total) if total else None for hit, total in zip(hits, totals)]
        return record
