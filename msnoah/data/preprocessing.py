"""What a model sees of an image outside training: resize, centre crop, scale to 0-1, normalise."""

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.channels import with_channels
from msnoah.data.resize import centre_crop, resize_short_side


def preprocess(image: np.ndarray, data: DataConfig) -> np.ndarray:
    """One image, (H, W, 1 or 3) uint8 RGB or grey, as a model's input: (channels, image_size, image_size) float32."""
    return normalise(evaluation_view(image, data), data)


def evaluation_view(image: np.ndarray, data: DataConfig) -> np.ndarray:
    """(H, W, C) uint8 -> (image_size, image_size, channels) uint8.

    The short side becomes image_size / crop_fraction, then the centre is cut out.
    """
    image = with_channels(image, data.channels)
    image = resize_short_side(image, round(data.image_size / data.crop_fraction), data.interpolation)
    return centre_crop(image, data.image_size)


def normalise(pixels: np.ndarray, data: DataConfig) -> np.ndarray:
    """(..., H, W, C) uint8 -> (..., C, H, W) float32: (pixel / 255 - mean) / std, per channel."""
    scaled = np.moveaxis(pixels, -1, -3).astype(np.float32)   # (..., H, W, C) -> (..., C, H, W)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (data.mean, data.std))
    scaled /= 255
    scaled -= mean
    scaled /= std
    return scaled
