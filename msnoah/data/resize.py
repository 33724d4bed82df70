"""Resizing as the published weights saw it in training: Pillow's filters, which widen when they shrink (no aliasing)."""

import cv2
import numpy as np
from PIL import Image

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

Box = tuple[float, float, float, float]


def resize(image: np.ndarray, height: int, width: int, interpolation: str, box: Box | None = None) -> np.ndarray:
    """(H, W, C) uint8 -> (height, width, C) uint8; an image of that size already comes back untouched.

    box: the part to take, as (left, top, right, bottom) in pixels and fractions of them; the whole image if None.
    """
    whole = (0, 0, image.shape[1], image.shape[0])
    if box in (None, whole) and image.shape[:2] == (height, width):
        return image
    resized = np.asarray(_borrowed(image).resize((width, height), _FILTERS[interpolation], box))
    return resized[:, :, None] if image.shape[2] == 1 else cv2.cvtColor(resized, cv2.COLOR_RGBA2RGB)


def resize_centre(image: np.ndarray, short_side: int, size: int, interpolation: str) -> np.ndarray:
    """Scales an image so that its shorter side is `short_side`, and cuts out the middle: -> (size, size, C).

    The longer side is rounded down, the crop's offset to the nearest pixel, as torchvision does. Only what is kept is computed.
    """
    height, width = image.shape[:2]
    scaled_height, scaled_width = (short_side * side // min(height, width) for side in (height, width))
    top, left = round((scaled_height - size) / 2), round((scaled_width - size) / 2)
    if (scaled_height, scaled_width) == (height, width):
        return image[top:top + size, left:left + size]
    y, x = height / scaled_height, width / scaled_width
    return resize(image, size, size, interpolation, (left * x, top * y, (left + size) * x, (top + size) * y))


def _borrowed(image: np.ndarray) -> Image.Image:
    """The image as Pillow sees it, without a copy: its own layout of RGB has four bytes a pixel."""
    height, width, channels = image.shape
    mode, pixels = ("L", np.ascontiguousarray(image)) if channels == 1 else ("RGBX", cv2.cvtColor(image, cv2.COLOR_RGB2RGBA))
    return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)
