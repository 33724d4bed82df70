"""Indices by hand: a 16 x 4 clip spans 61 frames, and a training start leaves room for 64."""

import numpy as np
import pytest

from msnoah.config import ClipConfig
from msnoah.data.frame_sampling import check_length, evaluation_indices, training_indices
from msnoah.data.views import SkippedSample
from msnoah.errors import DataError

CLIP = ClipConfig()


class Fixed:
    """A generator that always draws the lowest or the highest number."""

    def __init__(self, highest):
        self._highest = highest

    def integers(self, high):
        return high - 1 if self._highest else 0


@pytest.mark.parametrize("total, highest, expected", [
    (300, False, range(0, 61, 4)),
    (300, True, range(236, 297, 4)),        # 300 - 64
    (65, True, range(1, 62, 4)),
    (64, True, range(0, 61, 4)),            # the only start
    (61, True, range(0, 61, 4)),            # shorter than 64, but whole
    (60, True, [*range(0, 60, 4), 0]),
    (10, True, [0, 4, 8, 2, 6, 0, 4, 8, 2, 6, 0, 4, 8, 2, 6, 0]),
    (1, True, [0] * 16),
])
def test_training_clip_starts_where_there_is_room(total, highest, expected):
    assert training_indices(total, CLIP, Fixed(highest)).tolist() == list(expected)


def test_every_training_start_is_drawn():
    random = np.random.default_rng(0)
    starts = [training_indices(70, CLIP, random)[0] for _ in range(300)]
    assert set(starts) == set(range(7))   # one of seven is missed with probability 7 * (6 / 7) ** 300, 1e-19


@pytest.mark.parametrize("total, count, starts", [
    (300, 1, [119]),                                              # floor(239 / 2)
    (61, 1, [0]),
    (62, 1, [0]),
    (63, 1, [1]),
    (300, 2, [0, 239]),
    (300, 10, [0, 27, 53, 80, 106, 133, 159, 186, 212, 239]),     # steps of 26.56
    (66, 3, [0, 2, 5]),                                           # 2.5 goes to the even neighbour
    (62, 10, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
])
def test_evaluation_clips_are_spread_evenly(total, count, starts):
    expected = [[start + 4 * step for step in range(16)] for start in starts]
    assert evaluation_indices(total, CLIP, count).tolist() == expected


@pytest.mark.parametrize("count", [1, 3])
def test_evaluation_of_a_short_video_wraps(count):
    expected = [*range(0, 30, 4), *range(2, 30, 4), 0]
    assert evaluation_indices(30, CLIP, count).tolist() == [expected] * count


def test_interval_and_length_are_the_configs():
    clip = ClipConfig(frames=3, interval=5)
    assert evaluation_indices(21, clip, 2).tolist() == [[0, 5, 10], [10, 15, 20]]
    assert training_indices(21, clip, Fixed(True)).tolist() == [6, 11, 16]


@pytest.mark.parametrize("total, short, error", [
    (61, "skip", None),
    (61, "fail", None),
    (60, "loop", None),
    (1, "loop", None),
    (60, "skip", SkippedSample),
    (60, "fail", DataError),
])
def test_short_videos_are_answered_as_the_config_says(total, short, error):
    clip = ClipConfig(short=short)
    if error is None:
        check_length(total, clip, "a.mp4")
        return
    with pytest.raises(error, match="a.mp4: has 60 frames, but a clip of 16 at interval 4 spans 61") as caught:
        check_length(total, clip, "a.mp4")
    assert type(caught.value) is error


@pytest.mark.parametrize("short", ["loop", "skip", "fail"])
def test_a_video_without_frames_is_unreadable_not_short(short):
    with pytest.raises(DataError, match="a.mp4: holds no frames") as caught:
        check_length(0, ClipConfig(short=short), "a.mp4")
    assert type(caught.value) is DataError
