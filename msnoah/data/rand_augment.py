"""RandAugment (Cubuk et al., 2020) with timm's increasing operations: rand-m9-mstd0.5-inc1.

An operation's strength grows with its level, 0 to 10. Each of the `layers` draws picks an operation and applies it half of the time.
"""

import functools
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from msnoah.config import RandAugmentConfig
from msnoah.data import color

_MAX_LEVEL = 10
_APPLY_PROBABILITY = 0.5
_MAX_ROTATION_DEGREES = 30
_MAX_SHEAR = 0.3
_MAX_TRANSLATION = 0.45  # of the side
_MAX_ENHANCEMENT = 0.9
_MIN_FACTOR = 0.1
_MAX_SOLARIZE_ADD = 110
_INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)

Fill = Sequence[int]
Random = np.random.Generator


def rand_augment(image: np.ndarray, config: RandAugmentConfig, fill: Fill, random: Random) -> np.ndarray:
    """(H, W, C) uint8 -> (H, W, C) uint8; `fill` is the colour that moving the image uncovers, one value a channel."""
    for _ in range(config.layers):
        operation = OPERATIONS[random.integers(len(OPERATIONS))]
        level = np.clip(random.normal(config.magnitude, config.magnitude_std), 0, _MAX_LEVEL) / _MAX_LEVEL
        if random.random() < _APPLY_PROBABILITY:
            image = operation(image, level, fill, random)
    return image


def auto_contrast(image: np.ndarray) -> np.ndarray:
    """Stretches each channel to 0-255."""
    return _map_channels(image, _stretch_table)


def equalize(image: np.ndarray) -> np.ndarray:
    """Flattens each channel's histogram."""
    return _map_channels(image, _equalize_table)


def invert(image: np.ndarray) -> np.ndarray:
    """255 - pixel."""
    return 255 - image


def posterize(image: np.ndarray, bits: int) -> np.ndarray:
    """Keeps the highest `bits` of every pixel's eight."""
    return image & np.uint8(256 - (1 << (8 - bits)))


def solarize(image: np.ndarray, threshold: int) -> np.ndarray:
    """Inverts pixels from the threshold on."""
    return np.where(image < threshold, image, 255 - image)


def solarize_add(image: np.ndarray, addend: int) -> np.ndarray:
    """Brightens pixels below 128."""
    return np.where(image < 128, np.minimum(image.astype(np.int16) + addend, 255).astype(np.uint8), image)


def affine(image: np.ndarray, inverse: np.ndarray, fill: Fill, interpolation: int) -> np.ndarray:
    """Moves an image; `inverse` (2, 3) takes an output pixel's (x, y, 1) to the input."""
    height, width, channels = image.shape
    moved = cv2.warpAffine(np.ascontiguousarray(image), inverse, (width, height), flags=interpolation | cv2.WARP_INVERSE_MAP,
                           borderMode=cv2.BORDER_CONSTANT, borderValue=tuple(fill))
    return moved.reshape(height, width, channels)


def _map_channels(image: np.ndarray, table_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    mapped = np.empty(image.shape, np.uint8)
    for channel in range(image.shape[2]):
        plane = image[:, :, channel]
        mapped[:, :, channel] = table_of(np.bincount(plane.ravel(), minlength=256))[plane]
    return mapped


def _stretch_table(histogram: np.ndarray) -> np.ndarray:
    low, high = np.flatnonzero(histogram)[[0, -1]]
    values = np.arange(256)
    if high == low:
        return values.astype(np.uint8)
    scale = 255 / (high - low)
    return np.clip(values * scale - low * scale, 0, 255).astype(np.uint8)


def _equalize_table(histogram: np.ndarray) -> np.ndarray:
    last = histogram[np.flatnonzero(histogram)[-1]]
    step = (histogram.sum() - last) // 255
    if step == 0:
        return np.arange(256, dtype=np.uint8)
    below = np.cumsum(histogram) - histogram
    return np.minimum((below + step // 2) // step, 255).astype(np.uint8)


def _signed(value: float, random: Random) -> float:
    return value if random.random() < 0.5 else -value


def _levelless(change: Callable, image: np.ndarray, level: float, fill: Fill, random: Random) -> np.ndarray:
    return change(image)


def _enhanced(change: Callable, image: np.ndarray, level: float, fill: Fill, random: Random) -> np.ndarray:
    return change(image, max(_MIN_FACTOR, 1 + _signed(_MAX_ENHANCEMENT * level, random)))


def _posterized(image: np.ndarray, level: float, fill: Fill, random: Random) -> np.ndarray:
    return posterize(image, 4 - int(4 * level))


def _solarized(image: np.ndarray, level: float, fill: Fill, random: Random) -> np.ndarray:
    return solarize(image, 256 - int(256 * level))


def _solarize_added(image: np.ndarray, level: float, fill: Fill, random: Random) -> np.ndarray:
    return solarize_add(image, int(_MAX_SOLARIZE_ADD * level))


def _moved(inverse_of: Callable, image: np.ndarray, level: float, fill: Fill, random: Random) -> np.ndarray:
    inverse = inverse_of(_signed(level, random), *image.shape[:2])
    return affine(image, np.array(inverse, np.float64), fill, _INTERPOLATIONS[random.integers(2)])


def _rotation(level: float, height: int, width: int) -> np.ndarray:
    centre = (width - 1) / 2, (height - 1) / 2
    forward = cv2.getRotationMatrix2D(centre, _MAX_ROTATION_DEGREES * level, 1.0)
    return cv2.invertAffineTransform(forward)


def _shear_x(level: float, height: int, width: int) -> list[list[float]]:
    return [[1, _MAX_SHEAR * level, 0], [0, 1, 0]]


def _shear_y(level: float, height: int, width: int) -> list[list[float]]:
    return [[1, 0, 0], [_MAX_SHEAR * level, 1, 0]]


def _translation_x(level: float, height: int, width: int) -> list[list[float]]:
    return [[1, 0, _MAX_TRANSLATION * level * width], [0, 1, 0]]


def _translation_y(level: float, height: int, width: int) -> list[list[float]]:
    return [[1, 0, 0], [0, 1, _MAX_TRANSLATION * level * height]]


OPERATIONS = (
    functools.partial(_levelless, auto_contrast),
    functools.partial(_levelless, equalize),
    functools.partial(_levelless, invert),
    functools.partial(_moved, _rotation),
    _posterized,
    _solarized,
    _solarize_added,
    functools.partial(_enhanced, color.saturation),
    functools.partial(_enhanced, color.contrast),
    functools.partial(_enhanced, color.brightness),
    functools.partial(_enhanced, color.sharpness),
    functools.partial(_moved, _shear_x),
    functools.partial(_moved, _shear_y),
    functools.partial(_moved, _translation_x),
    functools.partial(_moved, _translation_y),
)
