"""Pictures of what an artifact makes of validation images: the worst, the median and the best of them."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from msnoah.config import SegmentationViewConfig
from msnoah.data.resize import resize
from msnoah.data.sources import SegmentationSource
from msnoah.deploy.picture_file import SUFFIX, write_picture
from msnoah.deploy.segmentation_overlay import draw_beside, draw_labelled, draw_overlay, resize_labels
from msnoah.deploy.segmenter import Segmenter
from msnoah.metrics.segmentation import IGNORE, SegmentationMetrics

LONGEST_SIDE = 400   # pixels of an image in a picture
EACH = 2             # pictures of the worst, of the median and of the best


def image_score(label_map: np.ndarray, mask: np.ndarray, classes: int) -> float | None:
    """mIoU of one image, over the classes in its mask or label map; None where no pixel of the mask counts."""
    if (mask == IGNORE).all():
        return None
    metrics = SegmentationMetrics(classes)
    metrics.update(label_map, mask)
    return metrics.result()["miou"]


def choose_images(scores: dict[int, float]) -> list[tuple[str, int]]:
    """Which images are shown, of those scored by number, and as what: two worst, two median, two best, none twice."""
    ranked = sorted(scores, key=lambda number: (scores[number], number))
    last = len(ranked) - EACH
    starts = {"worst": 0, "median": max(last // 2, 0), "best": max(last, 0)}
    chosen: dict[int, str] = {}
    for kind, start in starts.items():
        for number in ranked[start:start + EACH]:
            chosen.setdefault(number, kind)
    return [(kind, number) for number, kind in chosen.items()]


def draw_predictions(
    folder: Path, segmenter: Segmenter, source: SegmentationSource, scores: dict[int, float],
    view: SegmentationViewConfig,
) -> list[dict[str, Any]]:
    """Writes pictures of chosen images into a folder, in place of earlier ones.

    Args:
        scores: mIoU by number of the image.
        view: how images are looked at.

    Returns:
        Of each picture its file, kind (worst, median or best), the image's name and miou.
    """
    records = []
    for place, (kind, number) in enumerate(choose_images(scores), 1):
        path = folder / f"{place}_{kind}{SUFFIX}"
        image, mask = source.image(number), source.mask(number)
        write_picture(path, draw_prediction(image, segmenter.label_map(image, view), mask, segmenter))
        records.append({"file": path.name, "kind": kind, "name": source.name(number), "miou": scores[number]})
    for path in set(folder.glob(f"*{SUFFIX}")) - {folder / record["file"] for record in records}:
        with suppress(OSError):   # a picture that the record does not name does no harm
            path.unlink()
    return records


def draw_prediction(image: np.ndarray, label_map: np.ndarray, mask: np.ndarray, segmenter: Segmenter) -> np.ndarray:
    """The image, its mask and its label map over it, and a legend of the latter: (h, w, 3) uint8 RGB, not too large."""
    factor = min(1.0, LONGEST_SIDE / max(mask.shape))
    height, width = (max(1, round(side * factor)) for side in mask.shape)
    image = resize(image, height, width, "bilinear")
    label_map, mask = (resize_labels(labels, height, width) for labels in (label_map, mask))
    labelled = draw_labelled(image, label_map, segmenter.palette, segmenter.classes)
    return draw_beside(image, draw_overlay(image, mask, segmenter.palette), labelled)
