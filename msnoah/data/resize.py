"""Resizing as the published weights saw it in training: Pillow's filters, which widen when they shrink (no aliasing)."""

import numpy as np
from PIL import Image

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resize(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """(H, W, C) uint8 -> (height, width, C) uint8; an image of that size already comes back untouched."""
    if image.shape[:2] == (height, width):
        return image
    grey = image.shape[2] == 1
    resized = Image.fromarray(image[:, :, 0] if grey else image).resize((width, height), _FILTERS[interpolation])
    return np.asarray(resized).reshape(height, width, image.shape[2])


def resize_short_side(image: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """Scales an image so that its shorter side is `size`; the other follows, rounded down as torchvision does."""
    height, width = image.shape[:2]
    short = min(height, width)
    return resize(image, size * height // short, size * width // short, interpolation)


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The middle size x size pixels of an image that is at least that large."""
    height, width = image.shape[:2]
    top, left = round((height - size) / 2), round((width - size) / 2)
    return image[top:top + size, left:left + size]
