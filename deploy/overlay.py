"""Captions drawn into video frames: a label, its share and a bar, on a panel that any footage leaves readable."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
CAPITAL_HEIGHT = 21.0    # pixels of a capital letter at font scale 1
CAPITAL_SHARE = 0.045    # of the frame's short side
LEAST_CAPITAL = 5        # pixels below which Hershey letters cannot be told apart
PANEL_CAPITALS = 20      # least width of the panel in heights of a capital, so that short labels do not make it jump
PANEL_LIGHT = 0.28       # what the panel leaves of the footage's light
WHITE, BAR, TRACK = (255, 255, 255), (120, 205, 255), (120, 120, 120)   # RGB


@dataclass(frozen=True)
class Caption:
    """What a frame says: a text, a value beside it, and how much of the bar is filled (0-1)."""

    text: str
    value: str
    share: float


def draw_caption(frame: np.ndarray, caption: Caption) -> None:
    """Draws a caption into the lower left corner of a frame, in place.

    Args:
        frame: (H, W, 3) uint8 RGB of any size; a text that does not fit is cut short, and a frame too small for letters
            gets the bar alone.
    """
    height, width = frame.shape[:2]
    capital = max(round(CAPITAL_SHARE * min(height, width)), LEAST_CAPITAL)
    gap, bar = max(round(0.7 * capital), 2), max(round(0.35 * capital), 2)
    letters = Letters(capital / CAPITAL_HEIGHT)
    text, value = to_ascii(caption.text), to_ascii(caption.value)
    has_text = height > 4 * capital + bar and width > 10 * capital
    panel_width = max(PANEL_CAPITALS * capital, letters.width(text) + letters.width(value) + 4 * gap)
    panel = frame[-(bar + 2 * gap + has_text * (capital + gap)):, :panel_width]
    panel[:] = (panel * PANEL_LIGHT).astype(np.uint8)
    inner = panel[:, gap:-gap]
    if has_text:
        left = inner.shape[1] - letters.width(value)
        letters.draw(inner, letters.shorten(text, left - gap), 0, gap + capital)
        letters.draw(inner, value, left, gap + capital)
    _draw_bar(inner[-(gap + bar):-gap], caption.share)


def to_ascii(text: str) -> str:
    """The text in the letters that OpenCV can draw: accents are dropped, and what has no ASCII form becomes '?'."""
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def drawable_names(classes: Sequence[str]) -> list[str]:
    """Names as they are drawn: in ASCII, or 'class 3' for one without an ASCII letter or digit."""
    names = map(to_ascii, classes)
    return [name if any(map(str.isalnum, name)) else f"class {number}" for number, name in enumerate(names)]


class Letters:
    """OpenCV's font at one size."""

    def __init__(self, scale: float):
        self._scale, self._thickness = scale, max(round(2 * scale), 1)

    def width(self, text: str) -> int:
        return cv2.getTextSize(text, FONT, self._scale, self._thickness)[0][0]

    def shorten(self, text: str, room: int) -> str:
        """The text, or as much of it as fits with two dots behind it."""
        cuts = [text, *(text[:length].rstrip() + ".." for length in range(len(text) - 1, 0, -1))]
        return next((cut for cut in cuts if self.width(cut) <= room), "")

    def draw(self, pixels: np.ndarray, text: str, left: int, baseline: int) -> None:
        # OpenCV writes into contiguous memory alone.
        canvas = np.ascontiguousarray(pixels)
        cv2.putText(canvas, text, (left, baseline), FONT, self._scale, WHITE, self._thickness, cv2.LINE_AA)
        pixels[:] = canvas


def _draw_bar(pixels: np.ndarray, share: float) -> None:
    pixels[:] = TRACK
    pixels[:, :round(min(max(share, 0.0), 1.0) * pixels.shape[1])] = BAR
