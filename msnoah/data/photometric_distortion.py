"""Random changes of colour in the order of SSD's (Liu et al., 2016), each with probability 1/2.

Contrast is a factor of all levels and saturation one of HSV's, other than Pillow's blends in color.py; results are cut
off to whole levels, not rounded.
"""

import cv2
import numpy as np

from msnoah.config import PhotometricDistortionConfig
from msnoah.data.color import brightness as scale_levels

_HUES = 180   # OpenCV's steps round the circle


def photometric_distortion(
    image: np.ndarray, config: PhotometricDistortionConfig, random: np.random.Generator,
) -> np.ndarray:
    """(H, W, C) uint8 -> the same shape: brightness, contrast, saturation, hue, or contrast last."""
    if _chance(random):
        image = _shift_levels(image, random.uniform(-config.brightness, config.brightness))
    contrast_first = _chance(random)
    if contrast_first:
        image = _change_contrast(image, config, random)
    image = _change_colors(image, config, random)
    return image if contrast_first else _change_contrast(image, config, random)


def _chance(random: np.random.Generator) -> bool:
    return random.random() < 0.5


def _shift_levels(image: np.ndarray, amount: float) -> np.ndarray:
    table = np.clip(np.arange(256) + amount, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table).reshape(image.shape)


def _change_contrast(image: np.ndarray, config: PhotometricDistortionConfig, random: np.random.Generator) -> np.ndarray:
    return scale_levels(image, random.uniform(*config.contrast)) if _chance(random) else image


def _change_colors(image: np.ndarray, config: PhotometricDistortionConfig, random: np.random.Generator) -> np.ndarray:
    factor = random.uniform(*config.saturation) if _chance(random) else None
    turn = int(random.integers(-config.hue, config.hue + 1)) if _chance(random) else 0
    if image.shape[2] == 1 or (factor is None and not turn):
        return image
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    if factor is not None:
        saturation = scale_levels(saturation[..., None], factor)[..., 0]
    hue = cv2.LUT(hue, ((np.arange(256) + turn) % _HUES).astype(np.uint8))
    return cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB)
