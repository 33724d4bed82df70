"""A label map against the trained model: how much the model prefers another class where the map does not have its choice."""

from collections.abc import Iterable

import numpy as np

from msnoah.data.label_map import resize_rows
from msnoah.export.verification import Arrays, Check, Predict


def verify_labels(
    reference: Predict, predict: Predict, batches: Iterable[Arrays], *, artifact: str, output: str, tolerance: float,
) -> list[Check]:
    """Compares the label maps of an artifact with the logits of the model, resized to their size.

    A Check's max_abs is the largest difference, over all pixels, of the model's best logit and the one of the label, and
    max_rel is that over the largest logit: 0 where all labels are the model's own, tiny where two classes tie but for
    rounding, and the size of the logits where a label is wrong.
    """
    checks = []
    for inputs in batches:
        logits, labels = reference(inputs)[0], predict(inputs)[0]
        preferred = max(_preference(one, chosen) for one, chosen in zip(logits, labels, strict=True))
        relative = preferred / max(float(np.abs(logits).max()), np.finfo(np.float32).tiny)
        checks.append(Check(artifact, len(labels), output, preferred, relative, bool(relative <= tolerance)))
    return checks


def _preference(logits: np.ndarray, labels: np.ndarray) -> float:
    """(K, h, w), (H, W) -> the largest best-minus-chosen logit of a pixel; infinite for a label that is no class."""
    if labels.max() >= len(logits) or not np.isfinite(logits).all():
        return float("inf")
    rows, columns = (resize_rows(np.eye(cells), side) for cells, side in zip(logits.shape[1:], labels.shape))
    full = rows @ logits.astype(np.float64) @ columns.T   # (K, h, w) -> (K, H, W)
    return float((full.max(0) - np.take_along_axis(full, labels[None].astype(np.int64), 0)[0]).max())
