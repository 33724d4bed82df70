"""Random erasing (Zhong et al., 2020) on the normalised image or clip."""

import math

import numpy as np

_AREA = (0.02, 1 / 3)  # of the image
_LOG_RATIO = (math.log(0.3), math.log(1 / 0.3))
_TRIES = 10


def random_erasing(pixels: np.ndarray, probability: float, random: np.random.Generator, fill: str = "pixel") -> None:
    """Overwrites one random rectangle of a normalised image (C, H, W) or clip (C, T, H, W), float32, in place.

    The rectangle is the same in all frames. fill: `pixel` draws N(0, 1) for every pixel of every frame, `color` one
    N(0, 1) a channel.
    """
    if random.random() >= probability:
        return
    height, width = pixels.shape[-2:]
    for _ in range(_TRIES):
        area = random.uniform(*_AREA) * height * width
        ratio = math.exp(random.uniform(*_LOG_RATIO))
        box_height, box_width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_height < height and 0 < box_width < width:
            top, left = random.integers(0, height - box_height + 1), random.integers(0, width - box_width + 1)
            box = pixels[..., top:top + box_height, left:left + box_width]
            box[...] = random.standard_normal(_noise_shape(box.shape, fill), np.float32)
            return


def _noise_shape(box: tuple[int, ...], fill: str) -> tuple[int, ...]:
    return box if fill == "pixel" else (box[0], *[1] * (len(box) - 1))
