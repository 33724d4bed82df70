"""Colour changes of uint8 images as Pillow's ImageEnhance defines them: a blend with a degenerate image, factor 1 = unchanged."""

import cv2
import numpy as np

from msnoah.data.channels import with_channels

_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, C) uint8, blended with black."""
    return _blend(np.zeros(1, np.float32), image, factor)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, C) uint8, blended with the mean of its grey version."""
    mean = np.floor(with_channels(image, 1).mean() + 0.5)
    return _blend(np.float32(mean), image, factor)


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, C) uint8, blended with its grey version; a grey image has nothing to lose."""
    return image if image.shape[2] == 1 else _blend(with_channels(image, 1), image, factor)


def sharpness(image: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, C) uint8, blended with its 3 x 3 smoothed version; the outermost pixels stay."""
    smooth = np.array(image)
    filtered = cv2.filter2D(image, -1, _SMOOTH).reshape(image.shape)
    smooth[1:-1, 1:-1] = filtered[1:-1, 1:-1]
    return _blend(smooth, image, factor)


def _blend(degenerate: np.ndarray, image: np.ndarray, factor: float) -> np.ndarray:
    mixed = degenerate + np.float32(factor) * (image.astype(np.float32) - degenerate)
    return np.clip(mixed, 0, 255).astype(np.uint8)
