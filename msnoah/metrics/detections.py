"""What was found in one image or video, and what is there: labelled ranges, which are segments of time or boxes."""

from dataclasses import dataclass

import numpy as np

from msnoah.errors import DataError


@dataclass(frozen=True)
class Annotations:
    """What is there: ranges (N, 2) of start and end, or (N, 4) of x1, y1, x2, y2; labels (N,), classes from 0 on.

    Raises DataError for arrays that do not fit together, or ranges that are no finite numbers.
    """

    ranges: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "ranges", np.asarray(self.ranges, np.float64))
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int64))
        if self.ranges.ndim != 2 or self.ranges.shape[1] not in (2, 4):
            raise DataError(f"ranges of shape {self.ranges.shape}; expected (N, 2) of start and end, or (N, 4) of "
                            "x1, y1, x2, y2")
        if self.labels.shape != (len(self),):
            raise DataError(f"labels of shape {self.labels.shape} for {len(self)} ranges; expected one a range")
        if not np.isfinite(self.ranges).all():
            raise DataError("a range that is not finite; expected numbers")

    def __len__(self) -> int:
        return len(self.ranges)


@dataclass(frozen=True)
class Detections(Annotations):
    """What was found: as Annotations, with scores (N,). Raises DataError as they do, and for a score that is NaN."""

    scores: np.ndarray

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float64))
        if self.scores.shape != (len(self),):
            raise DataError(f"scores of shape {self.scores.shape} for {len(self)} ranges; expected one a range")
        if np.isnan(self.scores).any():
            raise DataError("a score that is NaN; expected numbers")

    def take(self, places: np.ndarray) -> "Detections":
        """Those at some places, in that order: indices (M,) or a mask (N,)."""
        return Detections(self.ranges[places], self.labels[places], self.scores[places])

    def by_score(self) -> "Detections":
        """From the highest score to the lowest; equal scores stay in order."""
        return self.take(np.argsort(-self.scores, kind="stable"))


def box_detections(boxes: np.ndarray, scores: np.ndarray, min_score: float = 0.01, first_class: int = 1) -> Detections:
    """One detection for every box and class that scores above min_score; a box may show many actions (AVA).

    Args:
        boxes: (R, 4) x1, y1, x2, y2.
        scores: (R, K), a probability a class.
        min_score: what a detection must exceed.
        first_class: classes before it are left out; AVA counts from 1, and its heads do not train class 0.
    """
    rows, classes = np.nonzero(scores[:, first_class:] > min_score)
    labels = classes + first_class
    return Detections(np.asarray(boxes)[rows], labels, scores[rows, labels])
