"""Segments of time at the points of a temporal pyramid: what a head should say there, and what it says, as segments.

Anchor-free: a point inside a segment knows its class and the distances to its start and end. As in ActionFormer,
Zhang et al., ECCV 2022, https://arxiv.org/abs/2202.07925: each level of the pyramid answers for segments of one range
of lengths, and only points near the middle of a segment answer at all. Times are in steps of the finest level.
"""

from dataclasses import dataclass

import numpy as np

from msnoah.data.sliding_windows import SlidingWindows
from msnoah.errors import DataError
from msnoah.metrics.detections import Annotations, Detections

CENTRE_RADIUS = 1.5   # of the middle of a segment, in strides of the level
REACH = 4             # largest distance to an end that a level answers for, in strides; the next level takes over


@dataclass(frozen=True)
class TemporalPoints:
    """Points of all levels, finest first: `positions` (P,) in steps and `strides` (P,) of their levels.

    A point answers for segments whose farther end is at least `nearest` (P,) and less than `farthest` (P,) away.
    """

    positions: np.ndarray
    strides: np.ndarray
    nearest: np.ndarray
    farthest: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)


def temporal_points(length: int, levels: int) -> TemporalPoints:
    """Points of a sequence of `length` steps under a pyramid that halves it, rounding up, from level to level.

    Point j of a level stands at step j * stride, the middle of what the convolutions of stride 2 see. The first level
    answers for all short segments, the last for all long ones.
    """
    parts = []
    for level in range(levels):
        stride = 2 ** level
        positions = np.arange(0, length, stride, dtype=np.float64)
        nearest = 0 if level == 0 else REACH * stride / 2
        farthest = np.inf if level == levels - 1 else REACH * stride
        parts.append([positions, *(np.full(len(positions), float(value)) for value in (stride, nearest, farthest))])
    return TemporalPoints(*map(np.concatenate, zip(*parts)))


def assign_targets(points: TemporalPoints, truths: Annotations, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """What each point should say: classes (P, K) of 0 and 1, distances (P, 2) to start and end in strides of its level.

    A point that answers for several segments takes the shortest; one that answers for none has zeros. A segment that
    holds no point (shorter than a step) trains none.

    Args:
        points: of `temporal_points`.
        truths: segments in steps; labels below `classes`. DataError otherwise.
        classes: K.
    """
    targets, distances = np.zeros((len(points), classes), np.float32), np.zeros((len(points), 2), np.float32)
    if not len(truths):
        return targets, distances
    if truths.ranges.shape[1] != 2 or not 0 <= truths.labels.min() <= truths.labels.max() < classes:
        raise DataError(f"ranges of {truths.ranges.shape[1]} numbers, labels {truths.labels.min()} to "
                        f"{truths.labels.max()}; expected segments with labels 0 to {classes - 1}")
    start, end = truths.ranges.T
    at, stride = points.positions[:, None], points.strides[:, None]
    to_ends = np.stack([at - start, end - at], -1)                          # (P, M, 2)
    farther = to_ends.max(-1)
    answers = (to_ends.min(-1) >= 0) & (np.abs(at - (start + end) / 2) <= CENTRE_RADIUS * stride)
    answers &= (farther >= points.nearest[:, None]) & (farther < points.farthest[:, None])
    chosen = np.where(answers, end - start, np.inf).argmin(1)               # (P,)
    rows = np.flatnonzero(answers.any(1))
    targets[rows, truths.labels[chosen[rows]]] = 1
    distances[rows] = to_ends[rows, chosen[rows]] / stride[rows]
    return targets, distances


def decode_segments(
    scores: np.ndarray, distances: np.ndarray, points: TemporalPoints, min_score: float = 0.001, most: int = 2000,
) -> Detections:
    """One segment, in steps, for every point and class that scores above min_score, at most the `most` best ones.

    Args:
        scores: (P, K), a probability a class.
        distances: (P, 2) to start and end, in strides of the point's level.
        points: of `temporal_points`, for the same sequence.
    """
    if not len(scores) == len(distances) == len(points):
        raise DataError(f"scores of {len(scores)} points, distances of {len(distances)}; expected one for each of the "
                        f"{len(points)} points of the pyramid")
    rows, labels = np.nonzero(scores > min_score)
    reach = distances[rows] * points.strides[rows, None]
    ranges = points.positions[rows, None] + reach * [-1, 1]
    found = Detections(ranges, labels, scores[rows, labels]).by_score()
    return found.take(np.arange(min(most, len(found))))


def in_steps(truths: Annotations, windows: SlidingWindows, fps: float) -> Annotations:
    """Segments of a video of `fps` frames a second, from seconds to steps of its sequence of windows."""
    return Annotations(windows.positions(truths.ranges, fps), truths.labels)


def in_seconds(found: Detections, windows: SlidingWindows, fps: float, duration_s: float) -> Detections:
    """The inverse of `in_steps` for what was found, cut off at the ends of the video; what lies outside of it goes."""
    ranges = np.clip(windows.seconds(found.ranges, fps), 0, duration_s)
    return Detections(ranges, found.labels, found.scores).take(ranges[:, 1] > ranges[:, 0])
