"""Colours to draw classes in."""

import colorsys

import numpy as np

_GOLDEN_TURN = 0.618034   # of the circle: as many hues as one likes, each far from those before it
_SHADES = ((0.75, 1.0), (0.45, 0.9), (0.9, 0.65))   # saturation and value, taken in turn


def class_colors(count: int) -> np.ndarray:
    """Colours of `count` classes, always the same, far apart for neighbours in number: (count, 3) uint8 RGB."""
    hues, shades = np.arange(count) * _GOLDEN_TURN % 1, (_SHADES[number % len(_SHADES)] for number in range(count))
    colors = [colorsys.hsv_to_rgb(hue, *shade) for hue, shade in zip(hues, shades)]
    return np.rint(255 * np.array(colors).reshape(count, 3)).astype(np.uint8)
