"""What the frames of a clip go through before they are normalised: every draw is made once and holds for all frames."""

import numpy as np

from msnoah.config import DataConfig, ViewConfig
from msnoah.data.channels import with_channels
from msnoah.data.rand_augment import rand_augment
from msnoah.data.resize import resize, resize_part, scaled_size
from msnoah.data.transforms import RANDOM_BOXES, fill_color, flip_and_jitter, shift


def training_clip(frames: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    """(T, H, W, 3) uint8 -> (T, image_size, image_size, channels) uint8, cropped and augmented as data.augment says.

    A random crop is resized once, from the frames as they are: data.clip.short_side, in between, would only blur it.
    Contrast is changed around the mean of the clip; RandAugment's operations look at each frame by itself.
    """
    augment = data.augment
    clip = _CROPS[augment.crop](frames, data, random)
    tall = clip.reshape(-1, *clip.shape[2:])   # (T * H, W, C)
    clip = flip_and_jitter(tall, augment, random).reshape(clip.shape)
    return _rand_augment_alike(clip, data, random) if augment.rand_augment else clip


def view_crops(frames: np.ndarray, view: ViewConfig, size: int, data: DataConfig) -> np.ndarray:
    """(F, H, W, 3) uint8 -> (crops, F, size, size, channels) uint8: the centre, or three along the longer side.

    Frames are scaled so that the shorter side is view.short_side; only the strip that the crops need is computed.
    """
    scaled = scaled_size(*frames.shape[1:3], view.short_side)
    places = _crop_places(*scaled, size, view.crops)
    (top, left), (bottom, right) = places.min(0), places.max(0) + size
    strip = (int(top), int(left), int(bottom - top), int(right - left))
    images = (with_channels(frame, data.channels) for frame in frames)
    strips = np.stack([resize_part(image, scaled, strip, data.interpolation) for image in images])
    return np.stack([strips[:, y:y + size, x:x + size] for y, x in places - places.min(0)])


def _rand_augment_alike(clip: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    config, fill, seed = data.augment.rand_augment, fill_color(data), int(random.integers(1 << 63))
    return np.stack([rand_augment(frame, config, fill, np.random.default_rng(seed)) for frame in clip])


def _crop_places(height: int, width: int, size: int, crops: int) -> np.ndarray:
    """Top and left of each crop, (crops, 2). Three crops are half of the room apart, rounded down."""
    steps = np.array([1] if crops == 1 else [0, 1, 2])
    room = np.array([height - size, width - size]) // 2
    along = np.array([height > width, height <= width])   # the longer side
    return np.where(along, steps[:, None] * room, room)   # (crops, 2)


def _centre_crop(frames: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    return view_crops(frames, ViewConfig(short_side=data.clip.short_side), data.image_size, data)[0]


def _padded_crop(frames: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    clip = view_crops(frames, ViewConfig(short_side=data.image_size), data.image_size, data)[0]
    return shift(clip, data.augment.padding, random)


def _random_crop(frames: np.ndarray, data: DataConfig, random: np.random.Generator) -> np.ndarray:
    size = data.image_size
    top, left, height, width = RANDOM_BOXES[data.augment.crop](*frames.shape[1:3], data.augment, random)
    parts = frames[:, top:top + height, left:left + width]
    return np.stack([resize(with_channels(part, data.channels), size, size, data.interpolation) for part in parts])


_CROPS = {"none": _centre_crop, "padded": _padded_crop, "random_resized": _random_crop, "multi_scale": _random_crop}
