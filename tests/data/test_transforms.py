"""The image operations against Pillow's, whose definitions RandAugment and the published recipes use."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from msnoah.config import DataConfig, RandAugmentConfig
from msnoah.data import color, preprocess, rand_augment, transforms
from msnoah.data.mixup import mix, smooth_targets
from msnoah.data.preprocessing import evaluation_view
from msnoah.data.random_erasing import random_erasing
from msnoah.data.resize import resize, resize_centre
from msnoah.train_config import MixupConfig

PHOTO = np.clip(np.random.default_rng(0).normal(110, 50, (40, 52, 3)), 0, 255).astype(np.uint8)
GREY = PHOTO[:, :, :1]


def config(channels=3, **kwargs):
    constants = {"mean": [0.5] * channels, "std": [0.25] * channels}
    return DataConfig(**{"source": "image_folder", "channels": channels, **constants, **kwargs})


def pillow(image):
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


@pytest.mark.parametrize("image", [PHOTO, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize("ours, theirs, tolerance", [
    (rand_augment.auto_contrast, ImageOps.autocontrast, 0),
    (rand_augment.equalize, ImageOps.equalize, 0),
    (rand_augment.invert, ImageOps.invert, 0),
    (lambda image: rand_augment.posterize(image, 3), lambda image: ImageOps.posterize(image, 3), 0),
    (lambda image: rand_augment.solarize(image, 90), lambda image: ImageOps.solarize(image, 90), 0),
    # Pillow truncates the blend in float32 as well, but sums in another order: one grey level.
    (lambda image: color.brightness(image, 1.6), lambda image: ImageEnhance.Brightness(image).enhance(1.6), 1),
    (lambda image: color.contrast(image, 0.3), lambda image: ImageEnhance.Contrast(image).enhance(0.3), 1),
    (lambda image: color.saturation(image, 0.4), lambda image: ImageEnhance.Color(image).enhance(0.4), 1),
    # The smoothed image is rounded by OpenCV and by Pillow, then multiplied by 1 - factor: 1.9 -> one or two levels.
    (lambda image: color.sharpness(image, 1.9), lambda image: ImageEnhance.Sharpness(image).enhance(1.9), 2),
])
def test_color_operations_are_pillows(image, ours, theirs, tolerance):
    expected = np.asarray(theirs(pillow(image))).reshape(image.shape).astype(int)
    assert abs(ours(image).astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("value", [0, 93, 255])
def test_flat_images_stay(value):
    flat = np.full((6, 5, 3), value, np.uint8)
    for operation in (rand_augment.auto_contrast, rand_augment.equalize):
        assert np.array_equal(operation(flat), flat)


def test_solarize_add_brightens_the_dark_half():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    expected = [min(255, value + 110) if value < 128 else value for value in range(256)]
    assert rand_augment.solarize_add(ramp, 110).ravel().tolist() == expected


@pytest.mark.parametrize("size", [(24, 24), (80, 91), (7, 50)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize("image", [PHOTO, GREY], ids=["rgb", "grey"])
def test_resize_keeps_channels_and_mean(size, name, image):
    resized = resize(image, *size, name)
    assert resized.shape == (*size, image.shape[2]) and abs(resized.mean() - image.mean()) < 3  # edges weigh a little less


@pytest.mark.parametrize("image", [PHOTO, GREY, PHOTO[3:30, 5:40]], ids=["rgb", "grey", "a view"])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_resize_is_pillows(image, name):
    expected = pillow(np.ascontiguousarray(image)).resize((31, 17), getattr(Image.Resampling, name.upper()))
    assert np.array_equal(resize(image, 17, 31, name), np.asarray(expected).reshape(17, 31, -1))


@pytest.mark.parametrize("box, expected", [
    ((8, 3, 24, 15), PHOTO[3:15, 8:24]),                                                    # whole pixels: as they are
    ((8.5, 3, 24.5, 15), (PHOTO[3:15, 8:24].astype(int) + PHOTO[3:15, 9:25] + 1) // 2),     # half a pixel: the mean of two
], ids=["whole", "half"])
def test_a_box_of_the_asked_size(box, expected):
    assert np.array_equal(resize(PHOTO, 12, 16, "bilinear", box), expected)


# Bicubic overshoot is clipped between Pillow's two passes, whose order depends on the sizes: soft images have none.
SOFT = 64 + PHOTO // 2


@pytest.mark.parametrize("image", [SOFT, SOFT[:, :, :1], SOFT.transpose(1, 0, 2)], ids=["rgb", "grey", "upright"])
@pytest.mark.parametrize("short_side, size", [(32, 28), (57, 50), (40, 40), (40, 32), (16, 16)])
def test_resize_centre_is_resizing_then_cropping(image, short_side, size):
    height, width = (short_side * side // 40 for side in image.shape[:2])
    top, left = round((height - size) / 2), round((width - size) / 2)
    expected = resize(image, height, width, "bicubic")[top:top + size, left:left + size].astype(int)
    found = resize_centre(image, short_side, size, "bicubic").astype(int)
    assert abs(found - expected).max() <= 2  # two roundings, of slightly other filter weights


def test_shrinking_does_not_alias():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))[:, :, None]
    assert resize(stripes, 16, 16, "bicubic").std() < 5  # stripes of one pixel average to grey; sampling keeps 0 or 255


@pytest.mark.parametrize("operation", range(len(rand_augment.OPERATIONS)))
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("image", [PHOTO, GREY, PHOTO[:1, :1]], ids=["rgb", "grey", "1x1"])
def test_every_operation_keeps_shape_and_type(operation, level, image):
    changed = rand_augment.OPERATIONS[operation](image, level, [1, 2, 3][:image.shape[2]], np.random.default_rng(0))
    assert changed.shape == image.shape and changed.dtype == np.uint8


MOVING = {3: "rotate", 11: "shear x", 12: "shear y", 13: "translate x", 14: "translate y"}


@pytest.mark.parametrize("operation", MOVING, ids=MOVING.values())
def test_moving_uncovers_the_fill_color(operation):
    white = np.full((40, 40, 3), 255, np.uint8)
    moved = rand_augment.OPERATIONS[operation](white, 1.0, [9, 8, 7], np.random.default_rng(0))
    uncovered = (moved == [9, 8, 7]).all(2).mean()
    assert (0.4 < uncovered < 0.5) if operation >= 13 else (0.05 < uncovered < 0.2)  # 45 % of the side; corners otherwise


def test_an_operation_is_applied_half_of_the_time():
    random, one_layer = np.random.default_rng(0), RandAugmentConfig(layers=1)
    unchanged = sum(rand_augment.rand_augment(PHOTO, one_layer, [0, 0, 0], random) is PHOTO for _ in range(1000))
    assert 420 < unchanged < 580  # binomial(1000, 0.5), five standard deviations


def test_random_resized_crop_takes_the_asked_area_and_ratio():
    augment = config(augment={"scale": [0.2, 0.5], "ratio": [0.8, 1.25]}).augment
    random = np.random.default_rng(0)
    for _ in range(500):
        top, left, height, width = transforms.random_resized_box(200, 300, augment, random)
        assert 0 <= top <= 200 - height and 0 <= left <= 300 - width
        assert 0.195 < height * width / 60000 < 0.505 and 0.78 < width / height < 1.28  # sides are whole pixels


@pytest.mark.parametrize("height, width, expected", [(10, 1000, (0, 493, 10, 13)), (1000, 10, (493, 0, 13, 10)), (1, 1, (0, 0, 1, 1))])
def test_extreme_images_fall_back_to_the_centre(height, width, expected):
    augment = config(augment={"scale": [1.0, 1.0]}).augment
    assert transforms.random_resized_box(height, width, augment, np.random.default_rng(0)) == expected


def test_padded_crop_shifts_by_up_to_the_padding():
    data = config(image_size=8, crop_fraction=1.0, augment={"crop": "padded", "padding": 2})
    image = np.full((8, 8, 3), 200, np.uint8)
    random = np.random.default_rng(0)
    borders = {tuple(int(n) for n in (crop[:, 4, 0] == 0).nonzero()[0]) for crop in (transforms.padded_crop(image, data, random) for _ in range(200))}
    assert borders == {(), (0,), (0, 1), (7,), (6, 7)}


def test_training_view_without_augmentation_is_the_evaluation_view():
    data = config(image_size=24)
    assert np.array_equal(transforms.training_view(PHOTO, data, np.random.default_rng(0)), evaluation_view(PHOTO, data))


@pytest.mark.parametrize("probability, flipped", [(0.0, False), (1.0, True)])
def test_flip(probability, flipped):
    data = config(image_size=24, augment={"horizontal_flip": probability})
    view = transforms.training_view(PHOTO, data, np.random.default_rng(0))
    assert np.array_equal(view, evaluation_view(PHOTO, data)[:, ::-1] if flipped else evaluation_view(PHOTO, data))


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.02, 0.25])
def test_hue_turns_as_pillows_hsv_does(turn):
    soft = 64 + PHOTO // 2
    levels = np.array(pillow(soft).convert("HSV"))
    levels[..., 0] += np.uint8(round(256 * turn) % 256)
    expected = np.asarray(Image.fromarray(levels, "HSV").convert("RGB")).astype(int)
    difference = abs(color.hue(soft, turn).astype(int) - expected)
    assert difference.max() <= 6 and difference.mean() < 1   # hue and saturation are rounded to 256 steps, in two ways


@pytest.mark.parametrize("image", [GREY, GREY.repeat(3, axis=2)], ids=["grey", "grey in rgb"])
def test_hue_leaves_grey_alone(image):
    assert np.array_equal(color.hue(image, 0.3), image)


def test_hue_jitter_is_drawn_beside_the_others():
    red, random = np.full((4, 4, 3), [200, 40, 40], np.uint8), np.random.default_rng(0)
    turned = np.array([transforms.color_jitter(red, 0.0, random, 0.1)[0, 0] for _ in range(300)])
    assert (turned[:, 0] == 200).all() and min(turned[:, 1]) == min(turned[:, 2]) == 40   # within 36 degrees of red
    assert max(turned[:, 1]) > 120 and max(turned[:, 2]) > 120                            # 36 degrees are 60 % of the way to yellow


def test_color_jitter_stays_in_its_range():
    random, grey = np.random.default_rng(0), np.full((4, 4, 3), 100, np.uint8)
    levels = [transforms.color_jitter(grey, 0.4, random).mean() for _ in range(300)]
    assert 59 <= min(levels) < 70 and 130 < max(levels) <= 141  # a grey image feels brightness alone: 60 to 140


def test_small_images_at_the_model_size_are_not_resampled():
    data = config(channels=1, image_size=28, crop_fraction=1.0)
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 1), np.uint8)
    assert np.array_equal(evaluation_view(image, data), image)


def test_preprocess_is_its_formula():
    data = config(image_size=40, crop_fraction=1.0)
    expected = ((PHOTO[:, 6:46].astype(np.float64) / 255 - 0.5) / 0.25).transpose(2, 0, 1)
    found = preprocess(PHOTO, data)
    assert found.shape == (3, 40, 40) and found.dtype == np.float32
    assert abs(found - expected).max() < 1e-6  # float32 arithmetic of values up to 2


@pytest.mark.parametrize("height, width", [(300, 500), (500, 300), (224, 224), (100, 90), (3, 900)])
def test_evaluation_view_has_the_model_size(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    assert evaluation_view(image, config()).shape == (224, 224, 3)


@pytest.mark.parametrize("image, channels", [(PHOTO, 1), (GREY, 3)])
def test_preprocess_converts_channels(image, channels):
    assert preprocess(image, config(channels, image_size=16)).shape == (channels, 16, 16)


def test_random_erasing_overwrites_one_box_with_noise():
    random, shares, noise = np.random.default_rng(0), [], []
    for _ in range(300):
        image = np.full((3, 32, 32), 7.0, np.float32)
        random_erasing(image, 1.0, random)
        erased = (image != 7).all(0)
        rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
        assert erased.sum() == len(rows) * len(columns) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        shares.append(erased.mean())
        noise.append(image[:, erased].ravel())
    noise = np.concatenate(noise)
    assert 0.01 < min(shares) and max(shares) < 0.36  # 2 % to a third, in whole pixels
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02  # 150,000 normal numbers


def test_random_erasing_has_its_probability():
    random, count = np.random.default_rng(0), 0
    for _ in range(400):
        image = np.full((1, 32, 32), 7.0, np.float32)
        random_erasing(image, 0.25, random)
        count += (image != 7).any()
    assert 60 < count < 140  # binomial(400, 0.25), four to five standard deviations


def test_label_smoothing_spreads_over_all_classes():
    assert np.allclose(smooth_targets(np.array([1, 3]), 4, 0.1), [[0.025, 0.925, 0.025, 0.025], [0.025, 0.025, 0.025, 0.925]])


def mixed(seed=0, **kwargs):
    images = np.stack([np.full((3, 16, 16), value, np.float32) for value in (0, 1, 2, 3)])
    targets = np.eye(4, dtype=np.float32)
    return images, mix(images, targets, MixupConfig(**kwargs), np.random.default_rng(seed))


def test_mixup_mixes_images_and_targets_by_one_share():
    images, targets = mixed(cutmix_alpha=0.0)
    lam = targets[0, 0]
    assert 0 < lam < 1 and np.allclose(targets, lam * np.eye(4) + (1 - lam) * np.eye(4)[::-1])
    assert np.allclose(images[:, 0, 0, 0], [3 * (1 - lam), 2 - lam, 1 + lam, 3 * lam])


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_share_is_the_area_that_is_left(seed):
    images, targets = mixed(seed, mixup_alpha=0.0)
    assert set(np.unique(images[0])) <= {0.0, 3.0}
    assert np.isclose(targets[0, 0], (images[0] == 0).mean(), atol=1e-6)  # float32
    assert np.isclose(targets.sum(), 4)


@pytest.mark.parametrize("kwargs", [{"probability": 0.0}, {"mixup_alpha": 0.0, "cutmix_alpha": 0.0}])
def test_no_mixing(kwargs):
    images, targets = mixed(**kwargs)
    assert np.array_equal(targets, np.eye(4)) and images[0].max() == 0 and images[3].min() == 3


def test_switching_between_the_two():
    cut = sum(set(np.unique(mixed(seed)[0])) <= {0.0, 1.0, 2.0, 3.0} for seed in range(400))
    assert 150 < cut < 250  # binomial(400, 0.5), five standard deviations
