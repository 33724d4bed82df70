"""What a training image and its mask go through together; every draw comes from the generator given."""

import cv2
import numpy as np

from msnoah.config import DataConfig
from msnoah.data.channels import with_channels
from msnoah.data.mask_file import IGNORE
from msnoah.data.photometric_distortion import photometric_distortion
from msnoah.data.resize import Part, resize_part
from msnoah.data.transforms import fill_color

_CROP_TRIES = 10


def training_pair(
    image: np.ndarray, mask: np.ndarray, data: DataConfig, random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A part of an image and of its mask, at a random scale, mirrored and changed in colour as data.augment says.

    Args:
        image: (H, W, 1 or 3) uint8.
        mask: (H, W) uint8 labels.

    Returns:
        The image (image_size, image_size, channels) and the mask (image_size, image_size), uint8. What lies outside the
        image is 255 in the mask, and the mean colour in the image, which is 0 for the model.
    """
    config, augment = data.segmentation, data.augment
    factor = random.uniform(*config.jitter)
    scaled = fitted_size(*mask.shape, factor * config.short_side, factor * config.long_side)
    part = _limited_part(mask, scaled, data.image_size, config.class_share, random)
    mask = _nearest_part(mask, scaled, part)
    image = resize_part(with_channels(image, data.channels), scaled, part, data.interpolation)
    if random.random() < augment.horizontal_flip:
        image, mask = cv2.flip(image, 1).reshape(image.shape), cv2.flip(mask, 1)
    if augment.photometric_distortion:
        image = photometric_distortion(image, augment.photometric_distortion, random)
    size = (data.image_size, data.image_size)
    return pad(image, size, fill_color(data)[:data.channels]), pad(mask, size, IGNORE)


def fitted_size(height: int, width: int, short_side: float, long_side: float) -> tuple[int, int]:
    """Height and width once the shorter is `short_side`, or the longer `long_side` if that is less; at least 1."""
    factor = min(short_side / min(height, width), long_side / max(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def pad(pixels: np.ndarray, size: tuple[int, int], fill) -> np.ndarray:
    """(H, W, ...) uint8 -> (*size, ...), the image in the upper left corner, `fill` in the rest."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return np.ascontiguousarray(pixels)
    padded = np.empty((*size, *pixels.shape[2:]), np.uint8)
    padded[:] = fill
    padded[:height, :width] = pixels
    return padded


def _limited_part(
    mask: np.ndarray, scaled: tuple[int, int], size: int, share: float, random: np.random.Generator,
) -> Part:
    """A random part of the scaled mask, size x size or what there is of it: the first of eleven in which several
    classes stand and none fills as much as `share`, else the last."""
    for attempt in range(_CROP_TRIES + 1):
        height, width = (min(side, size) for side in scaled)
        top, left = (int(random.integers(side - kept + 1)) for side, kept in zip(scaled, (height, width)))
        part = top, left, height, width
        if share == 1 or _is_varied(_nearest_part(mask, scaled, part), share):
            break
    return part


def _is_varied(mask: np.ndarray, share: float) -> bool:
    counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)[:IGNORE]
    return np.count_nonzero(counts) > 1 and counts.max() < share * counts.sum()


def _nearest_part(mask: np.ndarray, scaled: tuple[int, int], part: Part) -> np.ndarray:
    """A part of a mask as it is scaled, each pixel the one whose centre is nearest to where the image is taken from.

    OpenCV's nearest neighbour, of which published recipes make use, lies half a pixel off the image.
    """
    rows, columns = (
        ((np.arange(start, start + length) + 0.5) * side / target).astype(int)
        for start, length, side, target in zip(part[:2], part[2:], mask.shape, scaled)
    )
    return mask.take(rows, 0).take(columns, 1)   # eight times as fast as both at once
