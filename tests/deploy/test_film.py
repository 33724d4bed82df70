"""Films keep their source's time, and what was written before an interruption plays."""

import cv2
import numpy as np
import pytest

from msnoah.deploy.film import FilmWriter
from msnoah.errors import DataError

GREY = np.full((24, 32, 3), 100, np.uint8)


def _read(path):
    film = cv2.VideoCapture(str(path))
    frames = []
    while (read := film.read())[0]:
        frames.append(read[1])
    return frames, film.get(cv2.CAP_PROP_FPS)


@pytest.mark.parametrize("rate, times, expected", [
    (25, [n / 25 for n in range(10)], 10),
    (30000 / 1001, [5 + n * 1001 / 30000 for n in range(10)], 10),   # its clock starts at 5 s
    (25, [0, 0.0399, 0.081, 0.119, 0.1601], 5),                        # jitter
    (10, [0, 0.1, 0.5, 0.6], 7),                                       # a gap is filled with repeats
    (10, [0, 0.05, 0.1, 0.15, 0.2], 3),                                # twice as many frames as the rate has
    (10, [0, 0.1, 3600.0, 3600.1], 4),                                 # the clock jumps by an hour
])
def test_films_keep_time(tmp_path, rate, times, expected):
    with FilmWriter(tmp_path / "film.mp4", rate) as film:
        for time_s in times:
            film.write(GREY, time_s)
    frames, found_rate = _read(tmp_path / "film.mp4")
    assert len(frames) == expected == film.count
    assert found_rate == pytest.approx(rate, rel=1e-4)   # MP4's clock has ticks


@pytest.mark.parametrize("height, width, kept", [(24, 32, (24, 32)), (25, 33, (24, 32)), (2, 2, (2, 2))])
def test_sizes(tmp_path, height, width, kept):
    with FilmWriter(tmp_path / "film.mp4", 25) as film:
        film.write(np.full((height, width, 3), (200, 30, 30), np.uint8), 0.0)
        film.write(np.zeros((2 * height, width, 3), np.uint8), 0.04)   # scaled to the first
    first, second = _read(tmp_path / "film.mp4")[0]
    assert first.shape[:2] == second.shape[:2] == kept
    assert first[0, 0] == pytest.approx([30, 30, 200], abs=40)   # BGR; MPEG-4 rounds colours, chroma most


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_a_film_that_plays(tmp_path, error):
    with pytest.raises(error), FilmWriter(tmp_path / "new" / "film.mp4", 25) as film:
        film.write(GREY, 0.0)
        film.write(GREY, 0.04)
        raise error
    assert len(_read(tmp_path / "new" / "film.mp4")[0]) == 2
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["film.mp4"]


def test_without_a_frame_the_earlier_film_stays(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"earlier")
    with FilmWriter(tmp_path / "film.mp4", 25):
        pass
    assert (tmp_path / "film.mp4").read_bytes() == b"earlier"


def test_a_disk_that_fills_up_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("msnoah.deploy.film._count_frames", lambda path: 1)
    film = FilmWriter(tmp_path / "film.mp4", 25)
    with pytest.raises(DataError, match="film.mp4: its 2 frames could not all be written"), film:
        film.write(GREY, 0.0)
        film.write(GREY, 0.04)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name, frame, words", [
    ("film.avi", GREY, r"expected a file that ends in .mp4"),
    ("file/film.mp4", GREY, "file: cannot be made: File exists"),
    ("film.mp4", GREY[:1], "frames of 32 x 1 make no film"),
])
def test_films_that_cannot_be_written(tmp_path, name, frame, words):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=words), FilmWriter(tmp_path / name, 25) as film:
        film.write(frame, 0.0)
