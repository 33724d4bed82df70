import numpy as np
import pytest

from msnoah.errors import DataError
from msnoah.metrics.classification import ClassificationMetrics


def test_against_counting_by_hand():
    random = np.random.default_rng(0)
    logits, labels = random.standard_normal((50, 7)).astype(np.float32), random.integers(0, 6, 50).astype(np.int32)
    metrics = ClassificationMetrics(7)
    metrics.update(logits[:30], labels[:30])
    metrics.update(logits[30:], labels[30:])
    record = metrics.result()
    order = np.argsort(-logits, axis=1)
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1, keepdims=True)
    assert record["top1"] == pytest.approx(np.mean(order[:, 0] == labels))
    assert record["top5"] == pytest.approx(np.mean([label in row[:5] for row, label in zip(order, labels)]))
    assert record["loss"] == pytest.approx(-np.mean(np.log(probabilities[np.arange(50), labels])))
    assert record["majority_class_rate"] == np.bincount(labels).max() / 50
    assert record["per_class"][2] == pytest.approx(np.mean(order[labels == 2, 0] == 2))
    assert record["per_class"][6] is None   # no image has this label
    assert metrics.confusion[3, 4] == np.sum((labels == 3) & (order[:, 0] == 4))
    assert record["images"] == 50


def test_probabilities_of_views_are_averaged():
    logits = np.log([[0.6, 0.3, 0.1], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3]]) + [[5], [-5], [0], [1]]
    metrics = ClassificationMetrics(3)
    metrics.update(logits, np.array([1, 2]), views=2)   # means: (0.35, 0.4, 0.25) and (0.25, 0.3, 0.45)
    assert metrics.confusion.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert metrics.result()["loss"] == pytest.approx(-np.log([0.4, 0.45]).mean())
    assert metrics.count == 2


@pytest.mark.parametrize("classes", [4, 101])
def test_a_record_holds_predictions_and_the_pairs_most_often_mixed_up(classes):
    metrics = ClassificationMetrics(classes)
    predictions, labels = [0, 1, 1, 1, 3, 0, 0], [0, 0, 0, 1, 2, 2, 2]
    metrics.update(np.eye(classes)[predictions], np.array(labels))
    record = metrics.record()
    assert record["predictions"] == predictions and record["top1"] == pytest.approx(2 / 7)
    assert record["most_confused"] == [[0, 1, 2], [2, 0, 2], [2, 3, 1]]   # label, prediction, samples
    assert ("confusion" in record) is (classes <= 100)


@pytest.mark.parametrize("classes, has_top5", [(4, False), (5, True)])
def test_top5_needs_five_classes(classes, has_top5):
    metrics = ClassificationMetrics(classes)
    metrics.update(np.eye(classes, dtype=np.float32), np.arange(classes))
    assert ("top5" in metrics.result()) is has_top5


@pytest.mark.parametrize("logits", [np.zeros((10, 10)), np.full((10, 10), np.nan)])
def test_a_model_that_says_nothing_gets_no_top5(logits):
    metrics = ClassificationMetrics(10)
    metrics.update(logits, np.arange(10))
    assert metrics.result()["top5"] == 0


def test_no_samples_have_no_accuracy():
    with pytest.raises(DataError, match="every sample was skipped"):
        ClassificationMetrics(3).result()
