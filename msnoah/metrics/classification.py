"""Classification metrics, gathered batch by batch in numpy."""

from typing import Any

import numpy as np

from msnoah.errors import DataError

LARGEST_CONFUSION = 100   # classes; a larger matrix would be most of a record
MOST_CONFUSED = 20


class ClassificationMetrics:
    """Top-1, top-5, cross entropy and confusion counts over a data set of `classes` classes."""

    def __init__(self, classes: int):
        self.confusion = np.zeros((classes, classes), np.int64)   # row: label, column: prediction
        self.predictions: list[int] = []   # of every sample, in the order seen
        self._loss_sum = 0.0
        self._top5_hits = 0

    def update(self, logits: np.ndarray, labels: np.ndarray, views: int = 1) -> None:
        """Adds a batch of N samples.

        Args:
            logits: (N * views, K) of any float type; a sample's views are neighbours.
            labels: (N,) of any integer type.
            views: how many looks at a sample are averaged, as probabilities.
        """
        log_probabilities = _average(_log_softmax(logits.astype(np.float64)), views)   # (N * views, K) -> (N, K)
        rows = np.arange(len(labels))
        predictions = log_probabilities.argmax(1)
        self.predictions += predictions.tolist()
        np.add.at(self.confusion, (labels, predictions), 1)
        own = log_probabilities[rows, labels]
        self._loss_sum -= float(own.sum())
        # Ties and logits that are no numbers count against the label, so that a constant model scores 0, not 100 %.
        above = np.sum(~(log_probabilities < own[:, None]), axis=1) - 1
        self._top5_hits += int(np.sum(above < 5))

    @property
    def count(self) -> int:
        """Samples seen so far."""
        return int(self.confusion.sum())

    def result(self) -> dict[str, Any]:
        """top1 and loss; top5 from 5 classes on; per_class accuracy (None for a class without images).

        Raises:
            DataError: no sample was seen.
        """
        count = self.count
        if not count:
            raise DataError("there is nothing to evaluate: every sample was skipped")
        record = {"top1": float(self.confusion.trace() / count), "loss": self._loss_sum / count, "images": count}
        if len(self.confusion) >= 5:
            record["top5"] = self._top5_hits / count
        totals = self.confusion.sum(1)
        record["majority_class_rate"] = float(totals.max() / count)
        hits = self.confusion.diagonal()
        record["per_class"] = [float(hit / total) if total else None for hit, total in zip(hits, totals)]
        return record

    def record(self) -> dict[str, Any]:
        """`result`, and what can be looked into: `confusion` (rows labels, columns predictions) for at most
        LARGEST_CONFUSION classes, `most_confused` as [label, prediction, samples] with most samples first, and
        `predictions` of all samples."""
        record = self.result()
        if len(self.confusion) <= LARGEST_CONFUSION:
            record["confusion"] = self.confusion.tolist()
        return record | {"most_confused": self._most_confused(), "predictions": self.predictions}

    def _most_confused(self) -> list[list[int]]:
        errors = self.confusion - np.diag(self.confusion.diagonal())
        pairs = [[int(row), int(column), int(errors[row, column])] for row, column in zip(*errors.nonzero())]
        return sorted(pairs, key=lambda pair: -pair[2])[:MOST_CONFUSED]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _average(log_probabilities: np.ndarray, views: int) -> np.ndarray:
    if views == 1:
        return log_probabilities
    grouped = log_probabilities.reshape(-1, views, log_probabilities.shape[1])
    return np.log(np.maximum(np.exp(grouped).mean(1), np.finfo(np.float64).tiny))   # (N, views, K) -> (N, K)
