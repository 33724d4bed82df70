"""Label maps drawn over their images, and legends that say which colour is which class."""

from collections.abc import Sequence

import cv2
import numpy as np

from msnoah.data.mask_file import IGNORE
from msnoah.deploy.overlay import CAPITAL_HEIGHT, Letters, drawable_names

EDGE_LIGHT = 0.55        # of a class's colour where it meets another one
GROUND = (24, 24, 24)    # of a legend, RGB
CAPITAL = 9              # pixels of a capital letter
ROW = 20                 # pixels from one entry to the next
MOST_ENTRIES = 24        # of a legend; the rarest classes are counted in its last line
LEGEND_HEIGHT = 600      # pixels of an image for each of which, once more, a legend is enlarged


def draw_overlay(image: np.ndarray, label_map: np.ndarray, palette: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """An image with its classes' colours laid over it, darker where two of them meet: (H, W, 3) uint8 RGB.

    Args:
        image: (H, W, 1 or 3) uint8; it stays as it is.
        label_map: (H, W) uint8; pixels of 255 stay as they are.
        palette: (K, 3) uint8 RGB.
        alpha: the colours' share, 0-1.
    """
    table = np.zeros((256, 3), np.uint8)
    table[:len(palette)] = palette
    colors = table[label_map]                                             # (H, W, 3)
    colors[_edges(label_map)] = colors[_edges(label_map)] * EDGE_LIGHT
    image = np.broadcast_to(image, colors.shape)
    mixed = cv2.addWeighted(colors, alpha, np.ascontiguousarray(image), 1 - alpha, 0)
    return np.where(label_map[..., None] == IGNORE, image, mixed)


def draw_legend(label_map: np.ndarray, palette: np.ndarray, classes: Sequence[str], width: int = 220) -> np.ndarray:
    """A panel that names the classes of a label map, the most frequent first, with their share of its pixels.

    Returns:
        (h, width, 3) uint8 RGB, h as the number of entries asks for; long names are cut short.
    """
    counts = np.bincount(label_map.ravel(), minlength=256)[:len(classes)]
    present = sorted(np.flatnonzero(counts), key=lambda number: -counts[number])
    shown, names = present[:MOST_ENTRIES], drawable_names(classes)
    rows = [(palette[number], names[number], f"{counts[number] / label_map.size:.1%}") for number in shown]
    if len(present) > len(shown):
        rows.append((GROUND, f"and {len(present) - len(shown)} more", ""))
    legend = np.full((ROW * len(rows) + ROW // 2, width, 3), GROUND, np.uint8)
    for number, row in enumerate(rows):
        _draw_entry(legend[ROW // 4 + number * ROW:][:ROW], *row)
    return legend


def draw_labelled(image: np.ndarray, label_map: np.ndarray, palette: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """An image's overlay and, to its right, a legend as large as the image asks for, cut to its height.

    Returns:
        (H, W + a width that H alone decides, 3) uint8 RGB.
    """
    factor = max(1, round(len(image) / LEGEND_HEIGHT))
    legend = cv2.resize(draw_legend(label_map, palette, classes), None, fx=factor, fy=factor)
    return draw_beside(draw_overlay(image, label_map, palette), legend[:len(image)])


def draw_beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures, such as an image, its overlay and a legend, in one row: (greatest height, all widths, 3) uint8."""
    heights, widths = zip(*(picture.shape[:2] for picture in pictures))
    row = np.full((max(heights), sum(widths), 3), GROUND, np.uint8)
    for picture, right in zip(pictures, np.cumsum(widths)):
        row[:len(picture), right - picture.shape[1]:right] = picture
    return row


def resize_labels(label_map: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) uint8 -> (height, width), each pixel with the label of the nearest, for drawing."""
    return cv2.resize(label_map, (width, height), interpolation=cv2.INTER_NEAREST)


def _edges(label_map: np.ndarray) -> np.ndarray:
    """Where the pixel to the right or below has another label: (H, W) bool."""
    edges = np.zeros(label_map.shape, bool)
    edges[:, :-1] |= label_map[:, 1:] != label_map[:, :-1]
    edges[:-1] |= label_map[1:] != label_map[:-1]
    return edges


def _draw_entry(row: np.ndarray, color: Sequence[int], name: str, share: str) -> None:
    letters = Letters(CAPITAL / CAPITAL_HEIGHT)
    swatch, gap, baseline = row[3:-3, 6:20], 28, (ROW + CAPITAL) // 2
    swatch[:] = color
    left = row.shape[1] - letters.width(share) - 6
    letters.draw(row, letters.shorten(name, left - gap - 6), gap, baseline)
    letters.draw(row, share, left, baseline)
