"""Scores against counting by hand, and what has no score."""

import numpy as np
import pytest

from msnoah.errors import DataError
from msnoah.metrics.segmentation import SegmentationMetrics


def counted(predictions, labels, classes):
    metrics = SegmentationMetrics(classes)
    metrics.update(np.array([predictions], np.uint8), np.array([labels], np.uint8))
    return metrics


def test_against_counting_by_hand():
    random = np.random.default_rng(0)
    labels, predictions = random.integers(0, 5, (2, 40, 31)).astype(np.uint8)
    labels[random.random(labels.shape) < 0.2] = 255
    metrics = SegmentationMetrics(5)
    metrics.update(predictions[:13], labels[:13])
    metrics.update(predictions[13:], labels[13:])
    record, seen = metrics.record(), labels != 255
    ious, accuracies = [], []
    for number in range(5):
        own, said = (labels == number) & seen, (predictions == number) & seen
        ious.append((own & said).sum() / (own | said).sum())
        accuracies.append((own & said).sum() / own.sum())
    assert record["per_class"] == pytest.approx(ious) and record["miou"] == pytest.approx(np.mean(ious))
    assert record["per_class_accuracy"] == pytest.approx(accuracies)
    assert record["macc"] == pytest.approx(np.mean(accuracies))
    assert record["aacc"] == pytest.approx((labels == predictions)[seen].mean())
    assert record["images"] == 2 and record["pixels"] == seen.sum() and np.sum(record["confusion"]) == seen.sum()
    assert record["confusion"][3][4] == ((labels == 3) & (predictions == 4)).sum()


# predictions, labels of one row, classes, IoU and accuracy of each class
ABSENCES = [
    ([0, 1, 1, 1], [0, 0, 1, 1], 3, [1 / 2, 2 / 3, None], [1 / 2, 1, None]),   # class 2 is nowhere: left out
    ([0, 2, 1, 1], [0, 0, 1, 1], 3, [1 / 2, 1, 0], [1 / 2, 1, None]),          # class 2 is predicted alone: IoU 0
    ([0, 2, 1, 1], [0, 255, 1, 1], 3, [1, 1, None], [1, 1, None]),             # ... where nothing counts
]


@pytest.mark.parametrize("predictions, labels, classes, ious, accuracies", ABSENCES)
def test_absent_classes(predictions, labels, classes, ious, accuracies):
    record = counted(predictions, labels, classes).result()
    assert record["per_class"] == ious and record["per_class_accuracy"] == accuracies
    assert record["miou"] == pytest.approx(np.mean([value for value in ious if value is not None]))
    assert record["macc"] == pytest.approx(np.mean([value for value in accuracies if value is not None]))


def test_the_trivial_predictor_says_the_most_frequent_class():
    labels = [0, 1, 1, 1, 1, 1, 3, 3, 255, 255]
    trivial = counted([0] * 10, labels, 4).result()["trivial"]
    played = counted([1] * 10, labels, 4).result()
    assert trivial == {"class": 1, "miou": 5 / 8 / 3, "macc": 1 / 3, "aacc": 5 / 8}   # classes 0, 1 and 3 have labels
    assert trivial == {"class": 1, **{key: played[key] for key in ("miou", "macc", "aacc")}}


@pytest.mark.parametrize("classes, has_confusion", [(100, True), (101, False)])
def test_large_confusions_are_left_out(classes, has_confusion):
    assert ("confusion" in counted([0], [0], classes).record()) is has_confusion


@pytest.mark.parametrize("predictions, labels, message", [
    ([3], [0], "prediction 3 is no class; expected 0 to 2"), ([0], [3], "label 3 is no class"),
    ([255], [0], "prediction 255"), ([0, 0], [0], r"\(1, 2\) is no prediction for labels of \(1, 1\)"),
])
def test_what_is_no_class_is_named(predictions, labels, message):
    with pytest.raises(DataError, match=message):
        counted(predictions, labels, 3)


def test_nothing_counted_has_no_score():
    with pytest.raises(DataError, match="no pixel of any mask counts"):
        counted([1, 2], [255, 255], 3).result()
