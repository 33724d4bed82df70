"""Resizing as the published weights saw it in training: Pillow's filters, which widen when they shrink (no aliasing)."""

import cv2
import numpy as np
from PIL import Image

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

Box = tuple[float, float, float, float]
Part = tuple[int, int, int, int]


def resize(image: np.ndarray, height: int, width: int, interpolation: str, box: Box | None = None) -> np.ndarray:
    """(H, W, C) uint8 -> (height, width, C) uint8; whole pixels that have that size already come back untouched.

    box: the part to take, as (left, top, right, bottom) in pixels and fractions of them; the whole image if None.
    """
    left, top, right, bottom = box = box or (0, 0, image.shape[1], image.shape[0])
    if (bottom - top, right - left) == (height, width) and (top, left) == (int(top), int(left)):
        return image[int(top):int(bottom), int(left):int(right)]
    resized = np.asarray(_borrowed(image).resize((width, height), _FILTERS[interpolation], box))
    return resized[:, :, None] if image.shape[2] == 1 else cv2.cvtColor(resized, cv2.COLOR_RGBA2RGB)


def resize_centre(image: np.ndarray, short_side: int, size: int, interpolation: str) -> np.ndarray:
    """Scales an image so that its shorter side is `short_side`, and cuts out the middle: -> (size, size, C).

    The crop's offset is rounded to the nearest pixel, as torchvision does.
    """
    height, width = scaled = scaled_size(*image.shape[:2], short_side)
    top, left = round((height - size) / 2), round((width - size) / 2)
    return resize_part(image, scaled, (top, left, size, size), interpolation)


def resize_part(image: np.ndarray, scaled: tuple[int, int], part: Part, interpolation: str) -> np.ndarray:
    """A part of an image as it is scaled to (height, width); only what is kept is computed.

    part: top, left, height, width in pixels of the scaled image; what comes back has this height and width.
    """
    top, left, height, width = part
    y, x = image.shape[0] / scaled[0], image.shape[1] / scaled[1]
    return resize(image, height, width, interpolation, (left * x, top * y, (left + width) * x, (top + height) * y))


def scaled_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width once the shorter of them is `short_side`; the longer is rounded down, as torchvision does."""
    return short_side * height // min(height, width), short_side * width // min(height, width)


def _borrowed(image: np.ndarray) -> Image.Image:
    """The image as Pillow sees it, without a copy: its own layout of RGB has four bytes a pixel."""
    height, width, channels = image.shape
    mode, pixels = ("L", np.ascontiguousarray(image)) if channels == 1 else ("RGBX", cv2.cvtColor(image, cv2.COLOR_RGB2RGBA))
    return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)
