"""Training pairs: an image and its mask stay together through scale, crop, mirror and padding."""

import numpy as np
import pytest

from msnoah.config import DataConfig
from msnoah.data.segmentation_transforms import fitted_size, pad, training_pair
from msnoah.data.transforms import fill_color


def config(image_size=64, augment=None, channels=3, **segmentation):
    segmentation = {"short_side": 64, "jitter": (1.0, 1.0), "class_share": 1.0, **segmentation}
    return DataConfig(source="mni152", image_size=image_size, channels=channels, interpolation="bilinear",
                      mean=[0.485, 0.456, 0.406][:channels], std=[0.2] * channels, augment=augment or {},
                      segmentation=segmentation)


def blobs(size, seed=0):
    """A mask of smooth regions 0 and 1, and the image that is white where it is 1."""
    ripples = np.random.default_rng(seed).uniform(0.05, 0.3, (4, 2))
    rows, columns = np.indices(size)
    mask = (sum(np.sin(a * rows + b * columns) for a, b in ripples) > 0).astype(np.uint8)
    return np.repeat(255 * mask[..., None], 3, 2), mask


@pytest.mark.parametrize("size", [(64, 64), (200, 90), (70, 300), (33, 20), (1, 1), (1, 500)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_gives_a_pair_of_one_shape(size, channels):
    image, mask = blobs(size)
    data = config(jitter=(0.5, 2.0), class_share=0.75, channels=channels,
                  augment={"horizontal_flip": 0.5, "photometric_distortion": {}})
    for seed in range(5):
        pixels, labels = training_pair(image, mask, data, np.random.default_rng(seed))
        assert pixels.shape == (64, 64, channels) and labels.shape == (64, 64)
        assert pixels.dtype == labels.dtype == np.uint8 and set(np.unique(labels)) <= {0, 1, 255}


@pytest.mark.parametrize("short_side", [50, 100, 150, 217, 400])
def test_image_and_mask_stay_together(short_side):
    """Where the resized image is more than half white, the mask is 1: a mask half a pixel off fails."""
    image, mask = blobs((150, 170))
    data = config(short_side=short_side, augment={"horizontal_flip": 0.5})
    wrong = []
    for seed in range(4):
        pixels, labels = training_pair(image, mask, data, np.random.default_rng(seed))
        seen = labels != 255
        wrong.append(((pixels[..., 0] > 127)[seen] != labels[seen]).mean())
    # The two round corners differently: 0-1.4 %. OpenCV's nearest neighbour, half a pixel off, differs by 1.6-15 %.
    assert np.mean(wrong) < 0.015


def test_what_lies_outside_is_of_the_mean_colour_and_does_not_count():
    data = config(image_size=96)
    image, mask = blobs((64, 80))
    pixels, labels = training_pair(image, mask, data, np.random.default_rng(0))
    assert (pixels[64:] == fill_color(data)).all() and (pixels[:, 80:] == fill_color(data)).all()
    assert (labels[64:] == 255).all() and (labels[:, 80:] == 255).all()
    assert np.array_equal(pixels[:64, :80], image) and np.array_equal(labels[:64, :80], mask)


def test_the_long_side_is_jittered_too():
    _, labels = training_pair(*blobs((64, 640)), config(long_side=100, jitter=(2, 2)), np.random.default_rng(0))
    assert (labels[:20] != 255).all() and (labels[20:] == 255).all()   # 640 become 2 * 100, not 100 nor 2 * 640


def test_draws_come_from_the_generator_alone():
    image, mask = blobs((150, 170))
    data = config(jitter=(0.5, 2.0), class_share=0.75, augment={"horizontal_flip": 0.5, "photometric_distortion": {}})
    pairs = [training_pair(image, mask, data, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert all(np.array_equal(first, second) for first, second in zip(pairs[0], pairs[1]))
    assert not np.array_equal(pairs[0][0], pairs[2][0])


def test_the_scale_is_drawn_from_its_range():
    ramp = np.repeat(np.repeat(np.arange(240, dtype=np.uint8)[None, :, None], 240, 0), 3, 2)   # a level is a column
    data = config(image_size=32, short_side=240, long_side=1000, jitter=(0.5, 2.0))
    slopes = []
    for seed in range(200):
        pixels, _ = training_pair(ramp, np.zeros((240, 240), np.uint8), data, np.random.default_rng(seed))
        slopes.append((int(pixels[5, 30, 0]) - int(pixels[5, 1, 0])) / 29)   # columns of the image for one of the crop
    scales = 1 / np.array(slopes)
    assert 0.45 < scales.min() < 0.55 and 1.8 < scales.max() < 2.2 and abs(scales.mean() - 1.25) < 0.1   # of 200 draws


def test_half_of_the_pairs_are_mirrored():
    image, mask = blobs((64, 64))
    mirrored, data = 0, config(augment={"horizontal_flip": 0.5})
    for seed in range(200):
        pixels, labels = training_pair(image, mask, data, np.random.default_rng(seed))
        mirrored += np.array_equal(labels, mask[:, ::-1])
        assert np.array_equal(pixels[..., 0], 255 * labels)
    assert 70 < mirrored < 130   # 200 draws of 1/2: four standard deviations


def test_no_class_fills_a_crop_if_another_crop_is_to_be_had():
    mask = np.zeros((64, 640), np.uint8)
    mask[:, 500:] = 1
    mask[:, :100] = 255   # does not count: neither as a class nor as a part
    image = np.zeros((64, 640, 3), np.uint8)

    def shares(class_share):
        data = config(class_share=class_share, long_side=640)
        crops = [training_pair(image, mask, data, np.random.default_rng(seed))[1] for seed in range(1000)]
        counts = np.stack([np.bincount(crop.ravel(), minlength=256)[:255] for crop in crops])
        return counts.max(1) / np.maximum(counts.sum(1), 1)

    # Of 577 places 31 show both classes, none with 3/4 of the crop: 5.4 % for one draw, 46 % for eleven.
    for class_share, expected in ((1.0, 0.054), (0.75, 0.456)):
        found = shares(class_share)
        varied = ((found > 0) & (found < 0.75)).mean()
        assert abs(varied - expected) < 4 * (expected * (1 - expected) / 1000) ** 0.5   # four standard deviations


@pytest.mark.parametrize("size, short, long, expected", [
    ((600, 800), 512, 2048, (512, 683)), ((800, 600), 512, 2048, (683, 512)), ((100, 1000), 512, 2048, (205, 2048)),
    ((1, 10000), 512, 2048, (1, 2048)), ((512, 683), 256, 1024, (256, 342)), ((3, 3), 0.1, 9, (1, 1)),
])
def test_fitted_sizes_round_to_the_nearest(size, short, long, expected):
    assert fitted_size(*size, short, long) == expected


def test_padding_keeps_what_fits():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(pad(pixels, (3, 4), 7), pixels)
    assert pad(pixels, (4, 5), 7).tolist() == [[0, 1, 2, 3, 7], [4, 5, 6, 7, 7], [8, 9, 10, 11, 7], [7] * 5]
