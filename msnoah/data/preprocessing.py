"""What a model sees of an image outside training: resize, centre crop, scale to 0-1, normalise."""

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.channels import with_channels
from msnoah.data.resize import resize_centre


def preprocess(image: np.ndarray, data: DataConfig) -> np.ndarray:
    """One image, (H, W, 1 or 3) uint8 RGB or grey, as a model's input: (channels, image_size, image_size) float32."""
    return normalise(evaluation_view(image, data), data)


def evaluation_view(image: np.ndarray, data: DataConfig) -> np.ndarray:
    """(H, W, C) uint8 -> (image_size, image_size, channels) uint8.

    The short side becomes image_size / crop_fraction, then the centre is cut out.
    """
    image = with_channels(image, data.channels)
    return resize_centre(image, round(data.image_size / data.crop_fraction), data.image_size, data.interpolation)


def normalise(pixels: np.ndarray, data: DataConfig) -> np.ndarray:
    """uint8 pixels as float32, (pixel / 255 - mean) / std per channel, channels first.

    Images (N, H, W, C) -> (N, C, H, W), one image (H, W, C) -> (C, H, W), clips (N, T, H, W, C) -> (N, C, T, H, W).
    """
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    table = (levels - np.array(data.mean, np.float32)) / np.array(data.std, np.float32)   # (256, C)
    axis = min(pixels.ndim - 3, 1)   # of the channels: behind the batch, if there is one
    normalised = np.empty(np.moveaxis(pixels, -1, axis).shape, np.float32)
    for channel, plane in enumerate(np.moveaxis(normalised, axis, 0)):
        plane[...] = table[:, channel][pixels[..., channel]]   # four times as fast as arithmetic
    return normalised
