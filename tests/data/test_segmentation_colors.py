"""Photometric distortion, change by change, against the arithmetic it stands for."""

import cv2
import numpy as np
import pytest

from msnoah.config import PhotometricDistortionConfig
from msnoah.data.photometric_distortion import photometric_distortion

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


class Script:
    """A generator that says what it is told: chances in the order brightness, contrast first, (contrast), saturation,
    hue, (contrast), and the amounts as they are asked for."""

    def __init__(self, chances, amounts):
        self.chances, self.amounts = list(chances), list(amounts)

    def random(self):
        return 0.0 if self.chances.pop(0) else 0.9

    def uniform(self, low, high):
        amount = self.amounts.pop(0)
        assert low <= amount <= high
        return amount

    def integers(self, low, high):
        return int(self.uniform(low, high - 1))


def cut_off(levels):
    return np.clip(levels, 0, 255).astype(np.uint8)


def in_hsv(image, factor=1.0, turn=0):
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + turn) % 180
    hsv[..., 1] = cut_off(hsv[..., 1] * factor)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


CHANGES = {
    "none": ([0, 0, 0, 0, 0], [], IMAGE),
    "brighter": ([1, 0, 0, 0, 0], [20.7], cut_off(IMAGE + 20.7)),
    "darker": ([1, 0, 0, 0, 0], [-31.2], cut_off(IMAGE - 31.2)),
    "contrast before": ([0, 1, 1, 0, 0], [1.31], cut_off(IMAGE * np.float32(1.31))),
    "contrast after": ([0, 0, 0, 0, 1], [0.52], cut_off(IMAGE * np.float32(0.52))),
    "saturation": ([0, 0, 1, 0, 0], [1.4], in_hsv(IMAGE, factor=np.float32(1.4))),
    "hue": ([0, 0, 0, 1, 0], [-18], in_hsv(IMAGE, turn=-18)),
    "all, contrast before": ([1, 1, 1, 1, 1], [10, 0.8, 0.6, 7],
                             in_hsv(cut_off(cut_off(IMAGE + 10.0) * np.float32(0.8)), np.float32(0.6), 7)),
    "all, contrast after": ([1, 0, 1, 1, 1], [10, 0.6, 7, 1.5],
                            cut_off(in_hsv(cut_off(IMAGE + 10.0), np.float32(0.6), 7) * np.float32(1.5))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes(name):
    chances, amounts, expected = CHANGES[name]
    script = Script(chances, amounts)
    found = photometric_distortion(IMAGE, PhotometricDistortionConfig(), script)
    assert script.chances == script.amounts == []
    assert np.array_equal(found, expected) and found.dtype == np.uint8


def test_grey_changes_in_light_alone():
    grey = IMAGE[..., :1]
    found = photometric_distortion(grey, PhotometricDistortionConfig(), Script([1, 1, 1, 1, 1], [10, 0.8, 0.6, 7]))
    assert np.array_equal(found, cut_off(cut_off(grey + 10.0) * np.float32(0.8)))


def test_each_change_has_the_chance_of_one_half():
    plain = {"brightness": 0, "contrast": (1, 1), "saturation": (1, 1), "hue": 0}
    red, grey = np.full((1, 1, 3), (255, 0, 0), np.uint8), IMAGE[..., :1]   # that HSV and back leave as they are
    for change, image in (({"brightness": 32}, grey), ({"contrast": (0.5, 0.8)}, grey),
                          ({"saturation": (0.5, 0.8)}, red), ({"hue": 90}, red)):
        config = PhotometricDistortionConfig(**{**plain, **change})
        changed = sum(not np.array_equal(photometric_distortion(image, config, np.random.default_rng(seed)), image)
                      for seed in range(200))
        assert 70 < changed < 130   # 200 draws of 1/2: four standard deviations
