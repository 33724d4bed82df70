"""Segmentation metrics, gathered label map by label map in numpy."""

from typing import Any

import numpy as np

from msnoah.errors import DataError
from msnoah.metrics.classification import LARGEST_CONFUSION

IGNORE = 255   # the label of pixels that do not count


class SegmentationMetrics:
    """Confusion counts over all pixels of a data set of `classes` classes, and what follows from them."""

    def __init__(self, classes: int):
        self.confusion = np.zeros((classes, classes), np.int64)   # row: label, column: prediction
        self.images = 0

    def update(self, predictions: np.ndarray, labels: np.ndarray) -> None:
        """Adds a label map.

        Args:
            predictions, labels: of any integer type and one shape, (H, W); where a label is 255, nothing counts.

        Raises:
            DataError: shapes that differ, or a number that is no class.
        """
        if predictions.shape != labels.shape:
            raise DataError(f"a label map of {predictions.shape} is no prediction for labels of {labels.shape}")
        counted, classes = labels != IGNORE, len(self.confusion)
        predictions, labels = predictions[counted].astype(np.int64), labels[counted].astype(np.int64)
        for name, values in (("prediction", predictions), ("label", labels)):
            wrong = values[(values < 0) | (values >= classes)]
            if wrong.size:
                raise DataError(f"{name} {wrong[0]} is no class; expected 0 to {classes - 1}")
        pairs = np.bincount(labels * classes + predictions, minlength=classes * classes)
        self.confusion += pairs.reshape(classes, classes)
        self.images += 1

    @property
    def pixels(self) -> int:
        """Pixels counted so far."""
        return int(self.confusion.sum())

    def result(self) -> dict[str, Any]:
        """miou, macc and aacc with what they are made of, as mmsegmentation counts them.

        miou is the mean of per_class (intersection over union), macc of per_class_accuracy (hits over labels), aacc
        the share of pixels that are right. A class that is neither in the labels nor predicted has no IoU (None) and is
        left out of the mean; one that is predicted though no pixel has it counts as 0 in miou, and has no accuracy.
        `trivial` holds the three scores of predicting the most frequent class everywhere.

        Raises:
            DataError: no pixel was counted.
        """
        if not self.pixels:
            raise DataError("there is nothing to evaluate: no pixel of any mask counts")
        trivial = np.zeros_like(self.confusion)
        most = int(self.confusion.sum(1).argmax())
        trivial[:, most] = self.confusion.sum(1)
        return {
            **_scores(self.confusion), "images": self.images, "pixels": self.pixels,
            "per_class": _listed(_iou(self.confusion)), "per_class_accuracy": _listed(_accuracy(self.confusion)),
            "trivial": {"class": most, **_scores(trivial)},
        }

    def record(self) -> dict[str, Any]:
        """`result`, and for at most LARGEST_CONFUSION classes `confusion`, pixels: rows labels, columns predictions."""
        confusion = {"confusion": self.confusion.tolist()} if len(self.confusion) <= LARGEST_CONFUSION else {}
        return self.result() | confusion


def _scores(confusion: np.ndarray) -> dict[str, float]:
    return {
        "miou": float(np.nanmean(_iou(confusion))), "macc": float(np.nanmean(_accuracy(confusion))),
        "aacc": float(confusion.trace() / confusion.sum()),
    }


def _iou(confusion: np.ndarray) -> np.ndarray:
    hits = confusion.diagonal()
    return _ratio(hits, confusion.sum(0) + confusion.sum(1) - hits)


def _accuracy(confusion: np.ndarray) -> np.ndarray:
    return _ratio(confusion.diagonal(), confusion.sum(1))


def _ratio(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """(K,), nan where there is no whole."""
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)


def _listed(ratios: np.ndarray) -> list[float | None]:
    return [None if np.isnan(ratio) else float(ratio) for ratio in ratios]
