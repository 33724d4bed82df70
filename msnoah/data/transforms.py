"""What a training image goes through before it is normalised; every draw comes from the generator given."""

import math

import numpy as np

from msnoah.config import AugmentConfig, DataConfig
from msnoah.data.channels import with_channels
from msnoah.data.color import brightness, contrast, saturation
from msnoah.data.preprocessing import evaluation_view
from msnoah.data.rand_augment import rand_augment
from msnoah.data.resize import resize, resize_centre

_CROP_TRIES = 10


def training_view(image: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    """(H, W, 1 or 3) uint8 -> (image_size, image_size, channels) uint8, cropped and augmented as data.augment says."""
    augment = data.augment
    image = _CROPS[augment.crop](with_channels(image, data.channels), data, random)
    if random.random() < augment.horizontal_flip:
        image = image[:, ::-1]
    if augment.color_jitter:
        image = color_jitter(image, augment.color_jitter, random)
    if augment.rand_augment:
        fill = [round(255 * mean) for mean in data.mean]
        image = rand_augment(image, augment.rand_augment, fill, random)
    return image


def random_resized_crop(image: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    """A random part of the image, of random area and aspect ratio, resized to the model's size (Szegedy et al., 2015)."""
    top, left, height, width = _random_box(*image.shape[:2], data.augment, random)
    return resize(image[top:top + height, left:left + width], data.image_size, data.image_size, data.interpolation)


def padded_crop(image: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    """The image at the model's size, on black padding, shifted at random (the usual CIFAR augmentation)."""
    size, pad = data.image_size, data.augment.padding
    image = resize_centre(image, size, size, data.interpolation)
    padded = np.zeros((size + 2 * pad, size + 2 * pad, image.shape[2]), np.uint8)
    padded[pad:pad + size, pad:pad + size] = image
    top, left = random.integers(2 * pad + 1), random.integers(2 * pad + 1)
    return padded[top:top + size, left:left + size]


def color_jitter(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and saturation scaled by U(1 - strength, 1 + strength) each, in random order."""
    factors = random.uniform(max(0.0, 1 - strength), 1 + strength, 3)
    for which in random.permutation(3):
        image = _JITTERS[which](image, factors[which])
    return image


def _random_box(height: int, width: int, augment: AugmentConfig, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height, width of a random part; after ten misfits the largest centred part of an allowed ratio."""
    low, high = map(math.log, augment.ratio)
    for _ in range(_CROP_TRIES):
        area = height * width * random.uniform(*augment.scale)
        ratio = math.exp(random.uniform(low, high))
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            top, left = random.integers(0, height - box_height + 1), random.integers(0, width - box_width + 1)
            return int(top), int(left), box_height, box_width
    ratio = min(max(width / height, augment.ratio[0]), augment.ratio[1])
    box_width, box_height = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def _no_crop(image: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    return evaluation_view(image, data)


_JITTERS = (brightness, contrast, saturation)
_CROPS = {"none": _no_crop, "padded": padded_crop, "random_resized": random_resized_crop}
