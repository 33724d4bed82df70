import numpy as np
import pytest

from msnoah.data.sliding_windows import SlidingWindows
from msnoah.data.temporal_segments import (
    CENTRE_RADIUS,
    assign_targets,
    decode_segments,
    in_seconds,
    in_steps,
    temporal_points,
)
from msnoah.errors import DataError
from msnoah.metrics.detections import Annotations, Detections


def test_points_of_an_odd_length_are_where_halving_convolutions_look():
    points = temporal_points(5, 3)
    assert points.positions.tolist() == [0, 1, 2, 3, 4, 0, 2, 4, 0, 4]
    assert points.strides.tolist() == [1] * 5 + [2] * 3 + [4] * 2
    assert sorted(set(zip(points.nearest, points.farthest))) == [(0, 4), (4, 8), (8, np.inf)]


def test_targets_worked_by_hand():
    """A segment from 1 to 4 is for the first level (farther end below 4), whose points 1 to 4 are near its middle."""
    classes, distances = assign_targets(temporal_points(8, 2), Annotations([[1, 4]], [2]), 3)
    assert np.flatnonzero(classes.any(1)).tolist() == [1, 2, 3, 4] and classes[1:5, 2].all() and classes.sum() == 4
    assert distances[:6].tolist() == [[0, 0], [0, 3], [1, 2], [2, 1], [3, 0], [0, 0]]


def test_a_long_segment_is_for_the_coarser_level_and_its_distances_are_in_strides():
    classes, distances = assign_targets(temporal_points(16, 2), Annotations([[1, 14]], [0]), 1)
    rows = np.flatnonzero(classes[:, 0])
    assert rows.tolist() == [16 + 3, 16 + 4, 16 + 5]                       # positions 6, 8, 10 around 7.5, stride 2
    assert distances[rows].tolist() == [[2.5, 4], [3.5, 3], [4.5, 2]]


def test_the_shortest_of_several_segments_is_taken():
    classes, _ = assign_targets(temporal_points(8, 1), Annotations([[0, 7], [3, 5], [2, 6]], [0, 1, 2]), 3)
    assert classes.argmax(1)[3:6].tolist() == [1, 1, 1] and classes.sum(1).max() == 1


@pytest.mark.parametrize("seed", range(3))
def test_decoding_targets_gives_the_segments_back(seed):
    """Every point with a target becomes exactly the segment that it stands for, wherever it lies in it."""
    rng = np.random.default_rng(seed)
    middles = np.arange(8, 120, 16) + rng.uniform(-2, 2, 7)
    halves = rng.uniform(1, 6, 7)                                           # they do not touch
    truths = Annotations(np.stack([middles - halves, middles + halves], 1), rng.integers(0, 4, 7))
    points = temporal_points(128, 4)
    classes, distances = assign_targets(points, truths, 4)
    found = decode_segments(classes, distances, points)
    nearest = np.abs(found.ranges[:, :1] - truths.ranges[:, 0]).argmin(1)
    assert len(found) == classes.sum() and set(nearest) == set(range(7))
    assert np.allclose(found.ranges, truths.ranges[nearest], atol=1e-5)     # float32 distances of up to 10
    assert found.labels.tolist() == truths.labels[nearest].tolist()
    at = points.positions[classes.any(1)]
    off_centre = np.abs(at[:, None] - middles).min(1)
    assert (off_centre <= CENTRE_RADIUS * points.strides[classes.any(1)]).all()


def test_decoding_keeps_the_best_and_drops_what_scores_low():
    points = temporal_points(3, 1)
    scores = np.array([[0.2, 0.9], [0.001, 0.5], [0.6, 0.0]])
    found = decode_segments(scores, np.ones((3, 2)), points, min_score=0.001, most=3)
    assert found.scores.tolist() == [0.9, 0.6, 0.5] and found.labels.tolist() == [1, 0, 1]
    assert found.ranges.tolist() == [[-1, 1], [1, 3], [0, 2]]
    assert len(decode_segments(scores, np.ones((3, 2)), points)) == 4


def test_seconds_worked_by_hand_and_cut_off_at_the_ends_of_the_video():
    """At 10 frames a second, windows of 7 frames every 5 frames have their middles at 0.35 s, 0.85 s, 1.35 s, ..."""
    windows = SlidingWindows(frames=4, interval=2, stride=5)
    found = Detections([[0, 2], [-3, 1], [1, 9], [-4, -2], [8, 9]], [0, 1, 2, 3, 4], [0.5, 0.4, 0.3, 0.2, 0.1])
    video = in_seconds(found, windows, fps=10, duration_s=4)
    assert video.ranges == pytest.approx(np.array([[0.35, 1.35], [0, 0.85], [0.85, 4]]))
    assert video.labels.tolist() == [0, 1, 2] and video.scores.tolist() == [0.5, 0.4, 0.3]
    assert in_steps(video, windows, 10).ranges[0] == pytest.approx([0, 2])


def test_nothing_to_find_makes_empty_targets():
    classes, distances = assign_targets(temporal_points(8, 2), Annotations(np.zeros((0, 2)), []), 3)
    assert classes.shape == (12, 3) and distances.shape == (12, 2) and not classes.any() and not distances.any()


@pytest.mark.parametrize("message, call", {
    "labels 0 to 3; expected segments with labels 0 to 2": lambda points: assign_targets(
        points, Annotations([[0, 1], [0, 1]], [0, 3]), 3),
    "ranges of 4 numbers": lambda points: assign_targets(points, Annotations([[0, 0, 1, 1]], [0]), 3),
    "scores of 4 points, distances of 3; expected one for each of the 12": lambda points: decode_segments(
        np.ones((4, 1)), np.ones((3, 2)), points),
}.items())
def test_what_does_not_fit_is_refused(message, call):
    with pytest.raises(DataError, match=message):
        call(temporal_points(8, 2))
