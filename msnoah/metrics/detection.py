"""Mean average precision of detections in time and in space, gathered sample by sample in numpy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from msnoah.errors import DataError
from msnoah.metrics.detections import Annotations, Detections
from msnoah.metrics.overlap import intersection_over_union

THUMOS14_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
Match = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Overlaps (N, M) of detections, by falling score, with annotations; thresholds (T,) -> which are right (N, T)."""


def average_precision(scores: np.ndarray, hits: np.ndarray, annotations: int) -> float:
    """Area under the precision of each recall, where precision is the best at that recall or a higher one.

    This is PASCAL VOC's figure since 2010 (all points), and the interpolated one of ActivityNet's evaluation.

    Args:
        scores: (N,) of detections; equal ones count in the given order.
        hits: (N,) bool, whether a detection is right.
        annotations: how many there were to be found, at least 1.
    """
    hits = np.asarray(hits, bool)[np.argsort(-np.asarray(scores), kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[hits].sum() / annotations)   # every hit raises recall by 1 / annotations


def match_nearest(overlaps: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """As PASCAL VOC: a detection belongs to the annotation that it overlaps most, whose first one alone is right."""
    hits = np.zeros((len(overlaps), len(thresholds)), bool)
    free = np.ones((overlaps.shape[1], len(thresholds)), bool)
    for row, overlap in enumerate(overlaps if overlaps.shape[1] else []):
        nearest = overlap.argmax()
        hits[row] = free[nearest] & (overlap[nearest] >= thresholds)
        free[nearest] &= ~hits[row]
    return hits


def match_free(overlaps: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """As ActivityNet: a detection is right if it overlaps an annotation that none took before; it takes the nearest."""
    hits = np.zeros((len(overlaps), len(thresholds)), bool)
    free, columns = np.ones((overlaps.shape[1], len(thresholds)), bool), np.arange(len(thresholds))
    for row, overlap in enumerate(overlaps if overlaps.shape[1] else []):
        allowed = free & (overlap[:, None] >= thresholds)                   # (M, T)
        nearest = np.where(allowed, overlap[:, None], -1).argmax(0)         # (T,)
        hits[row] = allowed[nearest, columns]
        free[nearest, columns] &= ~hits[row]
    return hits


class DetectionMetrics:
    """Average precision a class and threshold of IoU, over all samples (images or videos) that were added.

    What an evaluation leaves out (AVA's 20 rare classes and excluded times, THUMOS14's ambiguous segments) is left out
    by the caller.
    """

    def __init__(self, classes: int, thresholds: Sequence[float], match: Match):
        self.classes, self.thresholds, self._match = classes, np.array(thresholds, np.float64), match
        self.samples = 0
        self._counts = np.zeros(classes, np.int64)
        self._scores, self._hits = ([[empty] for _ in range(classes)] for empty in (
            np.zeros(0), np.zeros((0, len(thresholds)), bool)))

    def update(self, detections: Detections, annotations: Annotations) -> None:
        """Adds what was found in one image or video, and what is there. DataError for a label that is no class."""
        for side, labels in (("detection", detections.labels), ("annotation", annotations.labels)):
            if labels.size and not 0 <= labels.min() <= labels.max() < self.classes:
                wrong = labels.min() if labels.min() < 0 else labels.max()
                raise DataError(f"{side} with label {wrong}; expected 0 to {self.classes - 1}")
        self.samples += 1
        self._counts += np.bincount(annotations.labels, minlength=self.classes)
        for label in np.unique(detections.labels):
            found = detections.take(detections.labels == label).by_score()
            overlaps = intersection_over_union(found.ranges, annotations.ranges[annotations.labels == label])
            self._scores[label].append(found.scores)
            self._hits[label].append(self._match(overlaps, self.thresholds))

    def result(self) -> dict[str, Any]:
        """map: mean over thresholds and classes; map_at a threshold; per_class: mean over thresholds, None for a class
        without annotations, which counts in no mean. DataError if there is nothing to be found at all."""
        present = np.flatnonzero(self._counts)
        if not present.size:
            raise DataError(f"no annotations in {self.samples} samples; mean average precision needs some")
        precisions = np.array([self._precisions(label) for label in present])   # (classes, T)
        by_class = dict(zip(present.tolist(), precisions.mean(1).tolist()))
        return {
            "map": float(precisions.mean()),
            "map_at": dict(zip(map(str, self.thresholds.tolist()), precisions.mean(0).tolist())),
            "per_class": [by_class.get(label) for label in range(self.classes)],
            "samples": self.samples, "annotations": int(self._counts.sum()),
            "detections": sum(len(scores) for parts in self._scores for scores in parts),
        }

    def _precisions(self, label: int) -> list[float]:
        scores, hits = np.concatenate(self._scores[label]), np.concatenate(self._hits[label])
        return [average_precision(scores, column, int(self._counts[label])) for column in hits.T]


def box_metrics(classes: int, threshold: float = 0.5) -> DetectionMetrics:
    """Frame mAP as AVA has it (Gu et al., CVPR 2018, https://arxiv.org/abs/1705.08421): boxes by frame at IoU 0.5."""
    return DetectionMetrics(classes, (threshold,), match_nearest)


def segment_metrics(classes: int, thresholds: Sequence[float] = THUMOS14_THRESHOLDS) -> DetectionMetrics:
    """mAP over temporal IoU, segments by video, as for THUMOS14 (Idrees et al., https://arxiv.org/abs/1604.06182)."""
    return DetectionMetrics(classes, thresholds, match_free)
