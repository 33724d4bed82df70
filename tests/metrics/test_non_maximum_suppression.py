import numpy as np
import pytest

from msnoah.errors import DataError
from msnoah.metrics.detections import Detections
from msnoah.metrics.non_maximum_suppression import soft_suppress, suppress
from msnoah.metrics.overlap import intersection_over_union

# a and b share 8 of 12, c touches neither, d is a again in another class
HAND = Detections([[0, 10], [2, 12], [20, 30], [0, 10]], [0, 0, 0, 1], [0.6, 0.9, 0.5, 0.4])


def random_detections(seed: int, numbers: int, count: int = 60) -> Detections:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 20, (count, numbers // 2))
    ranges = np.concatenate([low, low + rng.uniform(1, 8, low.shape)], 1)
    return Detections(ranges, rng.integers(0, 3, count), rng.permutation(count) / count)


def suppressed_by_hand(found: Detections, threshold: float) -> list[int]:
    kept: list[int] = []
    for place in np.argsort(-found.scores):
        rivals = [other for other in kept if found.labels[other] == found.labels[place]]
        overlaps = [intersection_over_union(found.ranges[[place]], found.ranges[[other]])[0, 0] for other in rivals]
        if max(overlaps, default=0) <= threshold:
            kept.append(place)
    return kept


@pytest.mark.parametrize("numbers", [2, 4], ids=["segments", "boxes"])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.0])
def test_hard_suppression_against_taking_one_by_one(numbers, threshold):
    found = random_detections(numbers, numbers)
    expected = suppressed_by_hand(found, threshold)
    kept = suppress(found, threshold)
    assert kept.scores.tolist() == found.scores[expected].tolist()
    assert np.array_equal(kept.ranges, found.ranges[expected]) and np.array_equal(kept.labels, found.labels[expected])
    assert (len(kept) < len(found)) == (threshold < 1)


def test_hard_suppression_worked_by_hand():
    assert suppress(HAND, 0.5).scores.tolist() == [0.9, 0.5, 0.4]       # a goes, IoU 2/3
    assert suppress(HAND, 0.7).scores.tolist() == [0.9, 0.6, 0.5, 0.4]


def test_soft_suppression_worked_by_hand():
    lowered = 0.6 * np.exp(-(2 / 3) ** 2 / 0.5)                         # 0.2467, now below c and d
    softened = soft_suppress(HAND, sigma=0.5)
    assert softened.scores == pytest.approx([0.9, 0.5, 0.4, lowered])
    assert softened.ranges.tolist() == [[2, 12], [20, 30], [0, 10], [0, 10]]
    assert softened.labels.tolist() == [0, 0, 1, 0]
    assert soft_suppress(HAND, sigma=0.5, min_score=0.25).scores == pytest.approx([0.9, 0.5, 0.4])


def test_soft_suppression_chooses_anew_after_every_decay():
    """b falls below c because of a, and c then lowers b again: 0.8 exp(-2 (9/11)^2) < 0.5, times exp(-2 (8/12)^2)."""
    chain = Detections([[0, 10], [1, 11], [3, 13]], [0, 0, 0], [0.9, 0.8, 0.79])
    by_a = np.exp(-2 * np.array([9 / 11, 7 / 13]) ** 2)
    c = 0.79 * by_a[1]
    assert soft_suppress(chain).scores == pytest.approx([0.9, c, 0.8 * by_a[0] * np.exp(-2 * (8 / 12) ** 2)])


@pytest.mark.parametrize("thin", [lambda found: suppress(found, 0.5), soft_suppress], ids=["hard", "soft"])
def test_nothing_stays_nothing(thin):
    assert len(thin(Detections(np.zeros((0, 2)), [], []))) == 0


def test_a_sigma_that_divides_by_zero_is_refused():
    with pytest.raises(DataError, match="sigma=0"):
        soft_suppress(HAND, sigma=0)
