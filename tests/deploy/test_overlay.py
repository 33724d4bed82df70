"""Captions stay inside their frame, whatever its size, and in letters that OpenCV can draw."""

import cv2
import numpy as np
import pytest

from msnoah.deploy.overlay import BAR, TRACK, Caption, draw_caption, drawable_names, to_ascii

LONG = "a label so long that no frame in this table has room for it, as names of actions in data sets can be " * 3


SIZES = [(1, 1), (2, 3), (9, 9), (16, 16), (33, 500), (500, 33), (144, 176), (2160, 3840)]


@pytest.mark.parametrize("height, width", SIZES)
@pytest.mark.parametrize("text", ["zoom in", LONG, ""])
def test_captions_change_the_lower_left_corner_alone(height, width, text):
    frame = np.full((height, width, 3), 200, np.uint8)
    draw_caption(frame, Caption(text, "93.1 %", 0.931))
    changed = (frame != 200).any(2)
    assert frame.shape == (height, width, 3) and changed[-1, 0]
    assert not changed[: height // 3].any() or height < 30
    assert changed[-1].all() or width > 100   # a panel as wide as its text, or as the frame


@pytest.mark.parametrize("height, width, has_text", [(9, 9, False), (16, 16, False), (20, 99, False), (96, 96, True)])
def test_frames_too_small_for_letters_get_the_bar_alone(height, width, has_text):
    frame = np.zeros((height, width, 3), np.uint8)
    draw_caption(frame, Caption("zoom in", "93.1 %", 0.931))
    assert (frame[:, :, 0].max() > BAR[0]) is np.bool_(has_text)   # of all that is drawn, letters alone are so red


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_letters_stand_out_from_light_and_dark_footage(ground):
    plain = np.full((240, 320, 3), ground, np.uint8)
    written = plain.copy()
    draw_caption(plain, Caption("", "", 0.0))
    draw_caption(written, Caption("zoom in", "", 0.0))
    letters = (written != plain).any(2)
    assert letters.sum() > 100   # pixels
    contrast = _luminance(written[letters].max(0)) / _luminance(plain[letters].max(0))
    assert contrast > 7   # WCAG 2.1, level AAA


def _luminance(color):
    channels = color / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722] + 0.05


@pytest.mark.parametrize("share, filled", [(-0.5, 0.0), (0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (1.5, 1.0)])
def test_the_bar_is_as_long_as_the_share(share, filled):
    frame = np.zeros((1000, 1000, 3), np.uint8)
    draw_caption(frame, Caption("zoom in", "", share))
    bar, track = ((frame[-40] == color).all(1).sum() for color in (BAR, TRACK))
    assert bar / (bar + track) == pytest.approx(filled, abs=0.002)   # a pixel of some 800


@pytest.mark.parametrize("text, expected", [
    ("zoom in", "zoom in"), ("Überhöhung", "Uberhohung"), ("naïve café", "naive cafe"), ("½ ﬁn", "1?2 fin"),
    ("tab\tand\nline", "tab?and?line"), ("跑步", "??"), ("smile 🙂", "smile ?"),
])
def test_text_becomes_ascii(text, expected):
    assert to_ascii(text) == expected
    assert cv2.getTextSize(to_ascii(text), cv2.FONT_HERSHEY_SIMPLEX, 1, 1)[0][0] > 0


def test_names_without_ascii_letters_are_drawn_by_number():
    assert drawable_names(["run", "跑步", "été", "走 (walk)"]) == ["run", "class 1", "ete", "? (walk)"]
