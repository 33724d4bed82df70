"""One detection for each thing: of overlapping ones of a class, those that score lower go (hard) or lose score (soft).

The ranges may be segments of time or boxes.
"""

from collections.abc import Callable

import numpy as np

from msnoah.errors import DataError
from msnoah.metrics.detections import Detections
from msnoah.metrics.overlap import intersection_over_union


def suppress(detections: Detections, threshold: float) -> Detections:
    """Hard suppression: a detection goes if its IoU with a kept one of its class that scores higher exceeds threshold.

    The result goes from the highest score to the lowest.
    """
    return _by_class(detections, lambda group: _suppress(group, threshold))


def soft_suppress(detections: Detections, sigma: float = 0.5, min_score: float = 0.001) -> Detections:
    """Gaussian Soft-NMS (Bodla et al., ICCV 2017, https://arxiv.org/abs/1704.04503), class by class.

    From the highest score on, each detection lowers the scores of the rest of its class by exp(-IoU ** 2 / sigma);
    what falls below min_score goes. The result goes from the highest score to the lowest. DataError unless sigma > 0.
    """
    if not sigma > 0:
        raise DataError(f"sigma={sigma!r} of soft suppression; expected a number above 0")
    return _by_class(detections, lambda group: _soften(group, sigma, min_score))


def _by_class(detections: Detections, thin: Callable[[Detections], Detections]) -> Detections:
    groups = [thin(detections.take(detections.labels == label).by_score()) for label in np.unique(detections.labels)]
    if not groups:
        return detections
    joined = [np.concatenate([getattr(group, name) for group in groups]) for name in ("ranges", "labels", "scores")]
    return Detections(*joined).by_score()


def _suppress(group: Detections, threshold: float) -> Detections:
    """`group` goes from the highest score to the lowest."""
    rivals = intersection_over_union(group.ranges, group.ranges) > threshold
    stays = np.ones(len(group), bool)
    for place in range(len(group)):
        if stays[place]:
            stays[place + 1:] &= ~rivals[place, place + 1:]
    return group.take(stays)


def _soften(group: Detections, sigma: float, min_score: float) -> Detections:
    decay = np.exp(-intersection_over_union(group.ranges, group.ranges) ** 2 / sigma)
    scores, waits, order = group.scores.copy(), group.scores >= min_score, []
    while waits.any():
        best = int(np.where(waits, scores, -np.inf).argmax())
        waits[best] = False
        order.append(best)
        scores[waits] *= decay[best, waits]
        waits &= scores >= min_score
    kept = np.array(order, np.int64)
    return Detections(group.ranges[kept], group.labels[kept], scores[kept])
