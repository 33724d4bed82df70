"""Colour changes of uint8 images as Pillow defines them.

All but hue are ImageEnhance's blends of the image with a degenerate one; at factor 1 nothing changes. A clip is changed
as one tall image, its frames one below the other: all frames in the same way.
"""

import cv2
import numpy as np

from msnoah.data.channels import with_channels

_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
_TRUNCATE = -0.4995   # OpenCV rounds a sum, Pillow drops its fraction


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, C) uint8, blended with black."""
    return _blend_with_level(0, image, factor)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, C) uint8, blended with the mean of its grey version."""
    return _blend_with_level(np.floor(with_channels(image, 1).mean() + 0.5), image, factor)


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, C) uint8, blended with its grey version; a grey image has nothing to lose."""
    if image.shape[2] == 1:
        return image
    return _blend(with_channels(with_channels(image, 1), 3), image, factor)


def sharpness(image: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, C) uint8, blended with its 3 x 3 smoothed version; the outermost pixels stay."""
    smooth = np.array(image)
    filtered = cv2.filter2D(image, -1, _SMOOTH).reshape(image.shape)
    smooth[1:-1, 1:-1] = filtered[1:-1, 1:-1]
    return _blend(smooth, image, factor)


def hue(image: np.ndarray, turn: float) -> np.ndarray:
    """(H, W, C) uint8, its hue turned by a part of the circle, -0.5 to 0.5, in 256 steps; a grey image has none."""
    if image.shape[2] == 1:
        return image
    converted = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    converted[..., 0] += np.uint8(round(256 * turn) % 256)
    return cv2.cvtColor(converted, cv2.COLOR_HSV2RGB_FULL)


def _blend_with_level(level: float, image: np.ndarray, factor: float) -> np.ndarray:
    level = np.float32(level)
    mixed = level + np.float32(factor) * (np.arange(256, dtype=np.float32) - level)
    return cv2.LUT(image, np.clip(mixed, 0, 255).astype(np.uint8)).reshape(image.shape)


def _blend(degenerate: np.ndarray, image: np.ndarray, factor: float) -> np.ndarray:
    return cv2.addWeighted(image, factor, degenerate, 1 - factor, _TRUNCATE).reshape(image.shape)
