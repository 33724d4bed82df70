import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from odd_videos import BROKEN, HEIGHT, VIDEOS, WIDTH, break_frame, cut, frame_numbers, turn, write_video

from msnoah.data import video_capture, video_file
from msnoah.data.video_file import VideoFile, open_stream
from msnoah.errors import DataError

VARIABLE = [0, 5, 10, 15, *range(20, 36), 40, 45]
# Files, and the numbers of the frames that they hold.
SOUND = {
    "mjpg.avi": range(24),
    "mp4v.mp4": range(24),
    "open_gop.mp4": range(48),
    "open_gop.ts": range(48),
    "edit_list.mp4": range(18, 48),
    "variable_rate.mp4": VARIABLE,
    "variable_rate.mkv": VARIABLE,
    "packed_b_frames.avi": range(48),
    "dropped.avi": VARIABLE,
}


_PLAY = """
import sys, cv2
from msnoah.data.video_file import open_stream, DataError
for path in sys.argv[1:]:
    try:
        list(open_stream(path))
    except DataError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Folder of all files of SOUND."""
    folder = tmp_path_factory.mktemp("sound")
    for name in SOUND:
        if (VIDEOS / name).exists():
            (folder / name).symlink_to(VIDEOS / name)
    write_video(folder / "mjpg.avi")
    write_video(folder / "mp4v.mp4", codec="mp4v")
    return folder


def decode_sequentially(path: Path) -> np.ndarray:
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while True:
        read, frame = capture.read()
        if not read:
            return np.stack(frames)
        frames.append(frame[..., ::-1])


@pytest.mark.parametrize("name", SOUND)
def test_every_frame_by_random_access_is_that_of_sequential_decoding(sound, name):
    expected = decode_sequentially(sound / name)
    assert frame_numbers(expected) == list(SOUND[name])
    video = VideoFile(sound / name)
    assert len(video) == len(expected)
    order = list(range(len(expected)))
    random.Random(0).shuffle(order)
    for number in order:
        assert np.array_equal(video.read([number])[0], expected[number]), f"frame {number}"


def test_frames_come_in_any_order_with_repeats(sound):
    video = VideoFile(sound / "open_gop.mp4")
    frames = video.read(np.array([40, 3, 40, 47, 0]))
    assert frames.shape == (5, HEIGHT, WIDTH, 3) and frames.dtype == np.uint8
    assert frame_numbers(frames) == [40, 3, 40, 47, 0]
    assert frame_numbers(video.read([0])) == frame_numbers(video.read([0])) == [0]
    assert video.read([]).shape == (0, HEIGHT, WIDTH, 3)
    red = frames[1, 10:14, 8:12].reshape(-1, 3).mean(0)   # the square of frame 3 begins at column 6
    assert red[0] > 200 and red[1:].max() < 60


def test_a_stream_that_stalls_ends_after_one_time_out(monkeypatch):
    class Stalled:
        grabs = 0

        def grab(self):
            self.grabs += 1
            monkeypatch.setattr(video_capture.time, "monotonic", lambda now=time.monotonic(): now + 31 * self.grabs)
            return False

    stalled = Stalled()
    assert not video_capture.grab_frame(stalled) and stalled.grabs == 1


@pytest.mark.parametrize("numbers", [[-1], [48], [0, 10**9]])
def test_numbers_that_no_frame_has_are_refused(sound, numbers):
    with pytest.raises(IndexError, match="of 0 to 47"):
        VideoFile(sound / "open_gop.mp4").read(numbers)


def test_seeking_saves_decoding_and_is_given_up_where_it_lands_wrong(tmp_path, monkeypatch):
    """MJPG has key frames alone: backwards, a far frame costs a seek and not a decode from the start."""
    path = write_video(tmp_path / "long.avi", count=48)
    video, grabs = VideoFile(path), []
    grab_frame = video_file.grab_frame
    monkeypatch.setattr(video_file, "grab_frame", lambda capture: grabs.append(1) or grab_frame(capture))
    assert frame_numbers(video.read([46])) == [46] and len(grabs) < 10   # forwards
    grabs.clear()
    assert frame_numbers(video.read([40])) == [40] and len(grabs) < 10   # backwards
    grabs.clear()
    monkeypatch.setattr(video_file, "_SEEK_MARGIN", -3)   # seeks land behind the frame
    assert frame_numbers(video.read([30])) == [30] and len(grabs) == 32 and not video._seeks
    assert frame_numbers(video.read([20])) == [20]


def test_grey_deep_and_turned_pixels_come_as_upright_rgb(sound, tmp_path):
    for name in ("grey.mp4", "deep.mkv"):
        frames = VideoFile(VIDEOS / name).read(range(5))
        assert frames.shape == (5, HEIGHT, WIDTH, 3) and frame_numbers(frames) == [0, 1, 2, 3, 4]
    turned = VideoFile(turn(sound / "open_gop.mp4", tmp_path / "turned.mp4")).read([3])
    assert np.array_equal(turned[0], np.rot90(VideoFile(sound / "open_gop.mp4").read([3])[0], -1))


def test_two_frames_at_the_end_may_fail_to_decode_and_repeat_the_last(tmp_path):
    path = break_frame(break_frame(write_video(tmp_path / "end.avi"), 23), 22)
    video = VideoFile(path)
    assert frame_numbers(video.read([23, 20, 22, 21])) == [21, 20, 21, 21]


def test_a_damaged_frame_spoils_only_clips_that_hold_it(tmp_path):
    video = VideoFile(break_frame(write_video(tmp_path / "hole.avi"), 7))
    assert frame_numbers(video.read([6, 8])) == [6, 8]
    with pytest.raises(DataError, match=r"hole.avi: damaged: frame 7 of 24 cannot be decoded"):
        video.read([6, 7, 8])
    assert frame_numbers(video.read([5])) == [5]


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_whole_video_is_one_clear_line(tmp_path, case):
    name, make, message = BROKEN[case]
    make(tmp_path / name)
    with pytest.raises(DataError, match=message) as caught:
        VideoFile(tmp_path / name).read([0])
    assert str(caught.value).startswith(f"{tmp_path / name}: ") and "\n" not in str(caught.value)


def test_no_right_to_read_is_one_clear_line(sound, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)   # root may read everything
    with pytest.raises(DataError, match="mjpg.avi: cannot be read: Permission denied"):
        VideoFile(sound / "mjpg.avi")


def test_names_that_are_no_utf_8_or_look_like_patterns_and_protocols(sound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ü%03d a?.mp4", "c:d.mp4"):
        (tmp_path / name).symlink_to(sound / "mp4v.mp4")
        assert len(VideoFile(name)) == len(list(open_stream(Path(name)))) == 24
    (tmp_path / os.fsdecode(b"\xff.mp4")).symlink_to(sound / "mp4v.mp4")
    with pytest.raises(DataError, match="its name is not in UTF-8"):   # OpenCV would crash
        VideoFile(os.fsdecode(b"\xff.mp4"))


def test_ffmpeg_and_opencv_say_nothing_on_the_terminal(tmp_path):
    """Also where OpenCV was loaded first; of the start of a DivX file FFmpeg would report each damaged macroblock."""
    paths = [make(tmp_path / name) for name, make, _ in BROKEN.values()]
    paths.append(cut(VIDEOS / "packed_b_frames.avi", tmp_path / "packed.avi", 0.5))
    run = subprocess.run([sys.executable, "-c", _PLAY, *map(str, paths)], capture_output=True, text=True, timeout=120)
    assert run.stderr == ""
    assert len(run.stdout.splitlines()) == len(paths) - 2   # streams play over single damaged frames


def test_no_handle_is_left_open(sound, tmp_path):
    def opened():
        return len(os.listdir("/proc/self/fd"))

    before = opened()
    broken = break_frame(write_video(tmp_path / "hole.avi"), 7)
    for _ in range(3):
        with VideoFile(sound / "open_gop.ts") as video:
            video.read([40, 1])
        with pytest.raises(DataError):
            VideoFile(broken).read([7])
        stream = open_stream(str(sound / "open_gop.mp4"))
        next(stream)
        stream.close()
    assert opened() == before


def test_threads_read_different_files_at_once(sound):
    def read(name):
        video = VideoFile(sound / name)
        return [frame_numbers(video.read([number]))[0] for number in range(len(video) - 1, -1, -3)]

    names = [name for name in SOUND for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, names)) == [list(SOUND[name])[::-3] for name in names]


@pytest.mark.parametrize("name", SOUND)
def test_a_stream_gives_each_frame_with_rising_times(sound, name):
    times, frames = zip(*open_stream(str(sound / name)))
    assert frame_numbers(frames) == list(SOUND[name])
    assert all(before < after for before, after in zip(times, times[1:]))
    if "variable" in name:
        assert np.allclose(times, np.array(VARIABLE) / 25, atol=1e-3)   # Matroska has times in ms


def test_a_camera_that_is_not_there_is_one_clear_line(capfd):
    with pytest.raises(DataError, match="camera 99: cannot be opened as a video"):
        open_stream(99)
    assert capfd.readouterr().err == ""
