"""Losses of detection against their formulas in numpy, on probabilities and corners instead of logits and distances."""

import numpy as np
import pytest
from mindspore import Tensor

from msnoah.metrics.overlap import intersection_over_union
from msnoah.training.detection_losses import (
    binary_cross_entropy,
    distance_loss,
    focal_loss,
    localisation_loss,
    multi_label_loss,
)

GATE = 1e-5   # float32 exp and log of a few hundred terms
rng = np.random.default_rng(0)
logits = rng.normal(0, 3, (6, 5)).astype(np.float32)
labels = (rng.random((6, 5)) < 0.4).astype(np.float32)
labels[1], labels[4] = 0, [1, 0, 0, 0, 0]   # a box without a label, and one that has only the unused class 0
p = 1 / (1 + np.exp(-logits.astype(float)))
entropy = -np.where(labels == 1, np.log(p), np.log(1 - p))


def call(loss, *arrays) -> np.ndarray:
    return loss(*map(Tensor, arrays)).asnumpy()


def test_binary_cross_entropy_is_finite_at_logits_that_no_exponential_survives():
    assert call(binary_cross_entropy, logits, labels) == pytest.approx(entropy, rel=GATE, abs=GATE)
    extreme = np.array([200, 200, -200, -200], np.float32)
    assert call(binary_cross_entropy, extreme, np.array([1, 0, 1, 0], np.float32)).tolist() == [0, 200, 200, 0]


def test_multi_label_loss_leaves_out_class_0_and_boxes_without_labels():
    assert call(multi_label_loss, logits, labels) == pytest.approx(entropy[[0, 2, 3, 5], 1:].mean(), rel=GATE)
    changed = logits.copy()
    changed[[1, 4]], changed[:, 0] = 9, -9
    assert call(multi_label_loss, changed, labels) == call(multi_label_loss, logits, labels)
    assert call(multi_label_loss, logits, 0 * labels) == 0


@pytest.mark.parametrize("alpha, gamma", [(0.25, 2.0), (0.6, 0.0), (0.5, 1.5)])
def test_focal_loss_is_the_papers_formula(alpha, gamma):
    p_t, alpha_t = np.where(labels == 1, p, 1 - p), np.where(labels == 1, alpha, 1 - alpha)
    expected = -alpha_t * (1 - p_t) ** gamma * np.log(p_t)
    found = focal_loss(Tensor(logits), Tensor(labels), alpha, gamma).asnumpy()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)   # 1 - p_t cancels in float32 where p_t is near 1


def corners(distances: np.ndarray) -> np.ndarray:
    return distances * [-1, 1]


def test_distance_loss_is_distance_iou_of_the_segments():
    found, true = rng.uniform(0.1, 5, (2, 8, 2)).astype(np.float32)
    a, b = corners(found), corners(true)
    iou = intersection_over_union(a, b).diagonal()
    hull = np.maximum(a[:, 1], b[:, 1]) - np.minimum(a[:, 0], b[:, 0])
    expected = 1 - iou + ((a.mean(1) - b.mean(1)) / hull) ** 2
    assert call(distance_loss, found, true) == pytest.approx(expected, rel=GATE)
    assert call(distance_loss, true, true) == pytest.approx(np.zeros(8), abs=1e-6)


def test_localisation_loss_is_over_the_points_inside_segments():
    targets, true = np.zeros((2, 6, 5), np.float32), np.zeros((2, 6, 2), np.float32)
    targets[0, 2, 1] = targets[1, 0, 3] = targets[1, 5, 4] = 1
    scores = rng.normal(0, 2, targets.shape).astype(np.float32)
    found = rng.uniform(0.1, 3, true.shape).astype(np.float32)
    true[targets.any(-1)] = [[1, 2], [0.5, 0], [3, 3]]
    focal = call(focal_loss, scores, targets).astype(float).sum()
    apart = call(distance_loss, found, true)[targets.any(-1)].astype(float).sum()
    assert call(localisation_loss, scores, found, targets, true) == pytest.approx((focal + apart) / 3, rel=GATE)
    nothing = call(localisation_loss, scores, found, 0 * targets, 0 * true)
    assert nothing == pytest.approx(call(focal_loss, scores, 0 * targets).sum(), rel=GATE)
