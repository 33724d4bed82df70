"""What a training image goes through before it is normalised; every draw comes from the generator given."""

import functools
import math

import cv2
import numpy as np

from msnoah.config import AugmentConfig, DataConfig
from msnoah.data.channels import with_channels
from msnoah.data.color import brightness, contrast, hue, saturation
from msnoah.data.preprocessing import evaluation_view
from msnoah.data.rand_augment import rand_augment
from msnoah.data.resize import Part, resize, resize_centre

_CROP_TRIES = 10


def training_view(image: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    """(H, W, 1 or 3) uint8 -> (image_size, image_size, channels) uint8, cropped and augmented as data.augment says."""
    augment = data.augment
    image = _CROPS[augment.crop](with_channels(image, data.channels), data, random)
    image = flip_and_jitter(image, augment, random)
    if augment.rand_augment:
        image = rand_augment(image, augment.rand_augment, fill_color(data), random)
    return image


def random_crop(image: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    """A random part of the image, as data.augment.crop draws it, resized to the model's size."""
    top, left, height, width = RANDOM_BOXES[data.augment.crop](*image.shape[:2], data.augment, random)
    return resize(image[top:top + height, left:left + width], data.image_size, data.image_size, data.interpolation)


def padded_crop(image: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    """The image at the model's size, on black padding, shifted at random (the usual CIFAR augmentation)."""
    image = resize_centre(image, data.image_size, data.image_size, data.interpolation)
    return shift(image, data.augment.padding, random)


def shift(pixels: np.ndarray, padding: int, random: np.random.Generator) -> np.ndarray:
    """(..., H, W, C) moved by up to `padding` pixels each way; what is uncovered is black."""
    height, width = pixels.shape[-3:-1]
    edges = (padding, padding)
    padded = np.pad(pixels, [(0, 0)] * (pixels.ndim - 3) + [edges, edges, (0, 0)])
    top, left = random.integers(2 * padding + 1), random.integers(2 * padding + 1)
    return padded[..., top:top + height, left:left + width, :]


def flip_and_jitter(image: np.ndarray, augment: AugmentConfig, random: np.random.Generator) -> np.ndarray:
    """(H, W, C) uint8, mirrored and changed in colour as the config says; a clip's frames lie one below the other."""
    if random.random() < augment.horizontal_flip:
        image = cv2.flip(image, 1).reshape(image.shape)
    if augment.color_jitter or augment.hue_jitter:
        image = color_jitter(image, augment.color_jitter, random, augment.hue_jitter)
    return image


def color_jitter(image: np.ndarray, strength: float, random: np.random.Generator, turn: float = 0) -> np.ndarray:
    """Brightness, contrast and saturation scaled by U(1 - strength, 1 + strength) each, and the hue turned by
    U(-turn, turn) of the circle, in random order."""
    factors = random.uniform(max(0.0, 1 - strength), 1 + strength, 3)
    changes = [functools.partial(change, factor=factor) for change, factor in zip(_JITTERS, factors)]
    if turn:
        changes.append(functools.partial(hue, turn=random.uniform(-turn, turn)))
    for which in random.permutation(len(changes)):
        image = changes[which](image)
    return image


def random_resized_box(height: int, width: int, augment: AugmentConfig, random: np.random.Generator) -> Part:
    """A part of random area and aspect ratio (Szegedy et al., 2015); after ten misfits the largest centred one."""
    low, high = map(math.log, augment.ratio)
    for _ in range(_CROP_TRIES):
        area = height * width * random.uniform(*augment.scale)
        ratio = math.exp(random.uniform(low, high))
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            return _placed(height, width, box_height, box_width, random)
    ratio = min(max(width / height, augment.ratio[0]), augment.ratio[1])
    box_width, box_height = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def multi_scale_box(height: int, width: int, augment: AugmentConfig, random: np.random.Generator) -> Part:
    """A part whose sides are two of augment.scales of the shorter side, at most max_scale_gap apart in their list, at a
    random place (Wang et al., 2016, who chose among 13 places)."""
    sides = [max(1, int(scale * min(height, width))) for scale in augment.scales]
    ranks = range(len(sides))
    pairs = [(i, j) for i in ranks for j in ranks if abs(i - j) <= augment.max_scale_gap]
    box_height, box_width = (sides[rank] for rank in pairs[random.integers(len(pairs))])
    return _placed(height, width, box_height, box_width, random)


def fill_color(data: DataConfig) -> list[int]:
    """The mean colour, 0-255, for what moving an image uncovers."""
    return [round(255 * mean) for mean in data.mean]


def _placed(height: int, width: int, box_height: int, box_width: int, random: np.random.Generator) -> Part:
    top, left = random.integers(0, height - box_height + 1), random.integers(0, width - box_width + 1)
    return int(top), int(left), box_height, box_width


def _no_crop(image: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    return evaluation_view(image, data)


_JITTERS = (brightness, contrast, saturation)
RANDOM_BOXES = {"random_resized": random_resized_box, "multi_scale": multi_scale_box}
_CROPS = {"none": _no_crop, "padded": padded_crop, "random_resized": random_crop, "multi_scale": random_crop}
