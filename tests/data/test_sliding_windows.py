import numpy as np
import pytest

from msnoah.data.sliding_windows import SlidingWindows
from msnoah.errors import DataError

WINDOWS = SlidingWindows(frames=4, interval=2, stride=3)   # each spans 7 frames


@pytest.mark.parametrize("frame_count, starts", [(1, [0]), (7, [0]), (8, [0, 3]), (10, [0, 3]), (11, [0, 3, 6])])
def test_windows_until_one_reaches_the_last_frame(frame_count, starts):
    indices = WINDOWS.indices(frame_count)
    expected = [[min(start + 2 * place, frame_count - 1) for place in range(4)] for start in starts]
    assert indices.tolist() == expected and len(indices) == WINDOWS.count(frame_count)
    assert indices.max() == frame_count - 1 or frame_count == 10            # 10: frame 9 is the last, taken as 3 + 6
    assert starts[-1] + WINDOWS.span >= frame_count


def test_the_time_of_a_window_is_its_middle():
    """At 10 frames a second, frames 3 to 9 last from 0.3 s to 1.0 s."""
    assert WINDOWS.seconds([1], fps=10) == pytest.approx([0.65])
    assert WINDOWS.seconds([1, 2], 10).mean() == pytest.approx(WINDOWS.seconds(1.5, 10))


def test_positions_are_the_inverse_of_seconds():
    at = np.linspace(-1, 9, 7).reshape(7, 1)
    assert np.allclose(WINDOWS.positions(WINDOWS.seconds(at, 29.97), 29.97), at, atol=1e-12)


@pytest.mark.parametrize("field", ["frames", "interval", "stride"])
def test_numbers_below_one_are_refused(field):
    with pytest.raises(DataError, match=f"{field}=0"):
        SlidingWindows(**{"frames": 4, "interval": 2, "stride": 3, field: 0})


def test_a_video_without_frames_is_refused():
    with pytest.raises(DataError, match="a video of 0 frames"):
        WINDOWS.indices(0)
