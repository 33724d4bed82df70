"""Average precision of detections against slow references that share no step with it, and cases worked by hand."""

import numpy as np
import pytest

from msnoah.errors import DataError
from msnoah.metrics.detection import (
    THUMOS14_THRESHOLDS,
    average_precision,
    box_metrics,
    match_free,
    match_nearest,
    segment_metrics,
)
from msnoah.metrics.detections import Annotations, Detections, box_detections

CLASSES = 3


def highest_precision_at_each_recall(ranked: list[bool], annotations: int) -> float:
    """Mean over the annotations, k = 1, 2, ...: the best precision of any prefix with at least k hits, else 0."""
    prefixes = [(sum(ranked[:end]), sum(ranked[:end]) / end) for end in range(1, len(ranked) + 1)]
    best = [max((p for hits, p in prefixes if hits >= k), default=0.0) for k in range(1, annotations + 1)]
    return sum(best) / annotations


@pytest.mark.parametrize("ranked, annotations, expected", [
    ([True, False, True], 2, (1 + 2 / 3) / 2),
    ([False, True, True], 2, 2 / 3),            # precision 0, 1/2, 2/3: the best from recall 1/2 on is 2/3
    ([True, True], 4, 0.5),
    ([False, False], 3, 0.0),
    ([], 3, 0.0),
])
def test_average_precision_worked_by_hand(ranked, annotations, expected):
    scores = -np.arange(len(ranked))
    assert average_precision(scores, ranked, annotations) == pytest.approx(expected)
    assert highest_precision_at_each_recall(ranked, annotations) == pytest.approx(expected)


def test_average_precision_ranks_by_score_and_not_by_place():
    assert average_precision([0.1, 0.9], [False, True], 1) == 1.0
    assert average_precision([0.9, 0.1], [False, True], 1) == 0.5


@pytest.mark.parametrize("match, expected", [(match_nearest, [True, False, False]), (match_free, [True, True, False])])
def test_a_second_detection_of_one_annotation(match, expected):
    """The second one overlaps the taken annotation more than a free one; only ActivityNet's rule lets it have that."""
    overlaps = np.array([[0.9, 0.1], [0.8, 0.6], [0.7, 0.65]])
    assert match(overlaps, np.array([0.5]))[:, 0].tolist() == expected
    assert not match(overlaps, np.array([0.95])).any()
    assert match(overlaps[:1], np.array([0.9]))[:, 0].tolist() == [True]   # the threshold itself is enough
    assert match(np.zeros((3, 0)), np.array([0.5])).tolist() == [[False]] * 3


def random_samples(seed: int, numbers: int, samples: int = 8) -> list[tuple[Detections, Annotations]]:
    """Annotations, and detections that are some of them, moved, with labels now and then wrong; scores all differ."""
    rng, pairs = np.random.default_rng(seed), []
    for scores in rng.permutation(samples * 25).reshape(samples, 25):
        low = rng.uniform(0, 20, (6, numbers // 2))
        truths = np.concatenate([low, low + rng.uniform(2, 8, low.shape)], 1)
        labels, source = rng.integers(0, CLASSES, 6), rng.integers(0, 6, 25)
        found = truths[source] + rng.normal(0, 0.7, (25, numbers))
        named = np.where(rng.random(25) < 0.8, labels[source], rng.integers(0, CLASSES, 25))
        pairs.append((Detections(found, named, scores), Annotations(truths, labels)))
    return pairs


def overlap(a, b) -> float:
    half = len(a) // 2
    sides = [[max(0.0, item[half + i] - item[i]) for i in range(half)] for item in (a, b)]
    common = np.prod([max(0.0, min(a[half + i], b[half + i]) - max(a[i], b[i])) for i in range(half)])
    return common / (np.prod(sides[0]) + np.prod(sides[1]) - common)


def slow_precision(pairs, label: int, threshold: float, nearest_only: bool) -> float:
    """All detections of all samples in one list by score, each looking for an annotation that it may take."""
    rows = sorted(((score, sample, place) for sample, (found, _) in enumerate(pairs)
                   for place, score in enumerate(found.scores) if found.labels[place] == label), reverse=True)
    taken, ranked = set(), []
    for _, sample, place in rows:
        found, truths = pairs[sample]
        rivals = sorted(((overlap(found.ranges[place], truths.ranges[t]), t)
                         for t in range(len(truths)) if truths.labels[t] == label), reverse=True)
        rivals = [(sample, t) for iou, t in rivals[:1 if nearest_only else None] if iou >= threshold]
        free = [key for key in rivals if key not in taken]
        taken |= set(free[:1])
        ranked.append(bool(free))
    return highest_precision_at_each_recall(ranked, sum((truths.labels == label).sum() for _, truths in pairs))


@pytest.mark.parametrize("metrics, numbers, nearest_only", [
    (box_metrics(CLASSES), 4, True), (segment_metrics(CLASSES), 2, False),
], ids=["boxes", "segments"])
def test_mean_average_precision_against_one_list_of_all_samples(metrics, numbers, nearest_only):
    pairs = random_samples(numbers, numbers)
    for pair in pairs:
        metrics.update(*pair)
    record = metrics.result()
    slow = np.array([[slow_precision(pairs, label, threshold, nearest_only) for threshold in metrics.thresholds]
                     for label in range(CLASSES)])
    assert 0.1 < slow.mean() < 0.9
    assert record["map"] == pytest.approx(slow.mean())
    assert list(record["map_at"].values()) == pytest.approx(slow.mean(0).tolist())
    assert record["per_class"] == pytest.approx(slow.mean(1).tolist())
    assert (record["samples"], record["annotations"], record["detections"]) == (8, 48, 200)


def test_thresholds_are_those_of_thumos14():
    metrics = segment_metrics(1)
    metrics.update(Detections([[0, 5.5]], [0], [1.0]), Annotations([[0, 10]], [0]))   # IoU 0.55
    assert metrics.result()["map_at"] == {"0.3": 1, "0.4": 1, "0.5": 1, "0.6": 0, "0.7": 0}
    assert metrics.result()["map"] == pytest.approx(0.6) and THUMOS14_THRESHOLDS == (0.3, 0.4, 0.5, 0.6, 0.7)


def test_a_class_without_annotations_counts_in_no_mean():
    metrics = segment_metrics(3)
    metrics.update(Detections([[0, 1], [0, 1]], [0, 2], [0.5, 0.9]), Annotations([[0, 1], [4, 5]], [0, 1]))
    assert metrics.result()["per_class"] == [1, 0, None] and metrics.result()["map"] == 0.5


def test_a_box_of_many_labels_becomes_a_detection_for_each():
    scores = np.array([[0.9, 0.3, 0.005], [0.8, 0.01, 0.7]])
    found = box_detections(np.array([[0, 0, 4, 4], [5, 5, 9, 9]]), scores)
    assert found.labels.tolist() == [1, 2] and found.scores.tolist() == [0.3, 0.7]    # class 0 and <= 0.01 left out
    assert found.ranges.tolist() == [[0, 0, 4, 4], [5, 5, 9, 9]]


@pytest.mark.parametrize("message, arguments", {
    r"ranges of shape \(2, 3\)": ([[0, 1, 2]] * 2, [0, 0], [1, 1]),
    r"labels of shape \(1,\) for 2 ranges": ([[0, 1]] * 2, [0], [1, 1]),
    r"scores of shape \(3,\) for 2 ranges": ([[0, 1]] * 2, [0, 0], [1, 1, 1]),
    "score that is NaN": ([[0, 1]], [0], [np.nan]),
    "range that is not finite": ([[0, np.inf]], [0], [1]),
}.items())
def test_arrays_that_do_not_fit_are_refused(message, arguments):
    with pytest.raises(DataError, match=message):
        Detections(*arguments)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_that_are_no_class_are_refused(label):
    with pytest.raises(DataError, match=f"detection with label {label}; expected 0 to 2"):
        segment_metrics(3).update(Detections([[0, 1]], [label], [1]), Annotations([[0, 1]], [0]))


def test_nothing_to_be_found_is_refused():
    metrics = segment_metrics(2)
    metrics.update(Detections([[0, 1]], [0], [1]), Annotations(np.zeros((0, 2)), []))
    with pytest.raises(DataError, match="no annotations in 1 samples"):
        metrics.result()
