"""Random erasing (Zhong et al., 2020) with noise for every pixel, on the normalised image."""

import math

import numpy as np

_AREA = (0.02, 1 / 3)  # of the image
_LOG_RATIO = (math.log(0.3), math.log(1 / 0.3))
_TRIES = 10


def random_erasing(image: np.ndarray, probability: float, random: np.random.Generator) -> None:
    """Overwrites one random rectangle of a normalised image, (C, H, W) float32, with N(0, 1), in place."""
    if random.random() >= probability:
        return
    channels, height, width = image.shape
    for _ in range(_TRIES):
        area = random.uniform(*_AREA) * height * width
        ratio = math.exp(random.uniform(*_LOG_RATIO))
        box_height, box_width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_height < height and 0 < box_width < width:
            top, left = random.integers(0, height - box_height + 1), random.integers(0, width - box_width + 1)
            noise = random.standard_normal((channels, box_height, box_width), np.float32)
            image[:, top:top + box_height, left:left + box_width] = noise
            return
