"""Frames whose pixels say where they lie: red is the column, green the row, blue the frame."""

import numpy as np
import pytest
from memory_videos import soft_frames

from msnoah.config import DataConfig, ViewConfig
from msnoah.data import transforms
from msnoah.data.clip_transforms import training_clip, view_crops
from msnoah.data.random_erasing import random_erasing
from msnoah.data.resize import resize

EVERYTHING = {"horizontal_flip": 0.5, "color_jitter": 0.4, "hue_jitter": 0.1, "rand_augment": {}}
CROPS = ("none", "padded", "random_resized", "multi_scale")


def config(size=24, short_side=32, channels=3, **augment):
    constants = {"mean": [0.5] * channels, "std": [0.25] * channels}
    return DataConfig(source="video_list", image_size=size, channels=channels, interpolation="bilinear",
                      clip={"frames": 5, "short_side": short_side}, augment={"padding": 3, **augment}, **constants)


def coordinates(height, width, count=2):
    frame, row, column = np.indices((count, height, width))
    return np.stack([column, row, frame], axis=-1).astype(np.uint8)


def corners(crops):
    """Left and top of each crop, read off its first pixel."""
    return [tuple(int(value) for value in crop[0, 0, 0, :2]) for crop in crops]


@pytest.mark.parametrize("height, width, size, crops, expected", [
    (32, 50, 32, 1, [(9, 0)]),
    (32, 50, 32, 3, [(0, 0), (9, 0), (18, 0)]),
    (50, 32, 32, 3, [(0, 0), (0, 9), (0, 18)]),
    (32, 51, 32, 3, [(0, 0), (9, 0), (18, 0)]),           # (51 - 32) // 2 = 9: the last column is in no crop
    (32, 50, 28, 3, [(0, 2), (11, 2), (22, 2)]),          # centred along the shorter side
    (32, 32, 28, 3, [(0, 2), (2, 2), (4, 2)]),
    (32, 50, 24, 1, [(13, 4)]),
])
def test_crops_lie_where_the_specification_puts_them(height, width, size, crops, expected):
    frames = coordinates(height, width)
    view = ViewConfig(crops=crops, short_side=32)          # frames of that size already: not resampled
    found = view_crops(frames, view, size, config())
    assert found.shape == (crops, 2, size, size, 3)
    assert corners(found) == expected
    for crop, (left, top) in zip(found, expected):
        assert np.array_equal(crop, frames[:, top:top + size, left:left + size])


@pytest.mark.parametrize("height, width", [(40, 65), (65, 40), (20, 33), (90, 90)])
@pytest.mark.parametrize("crops", [1, 3])
def test_views_are_scaling_then_cropping(height, width, crops):
    frames = 64 + soft_frames(2, height, width) // 2
    scaled = [32 * side // min(height, width) for side in (height, width)]
    whole = np.stack([resize(frame, *scaled, "bilinear") for frame in frames])
    view = ViewConfig(crops=crops, short_side=32)
    expected = view_crops(whole, view, 28, config())       # of frames that need no scaling
    found = view_crops(frames, view, 28, config())
    assert abs(found.astype(int) - expected).max() <= 2    # two roundings, of slightly other filter weights


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_go_through_the_same(crop, channels):
    same = soft_frames(1, 40, 60).repeat(5, axis=0)
    for seed in range(12):
        clip = training_clip(same, config(channels=channels, crop=crop, **EVERYTHING), np.random.default_rng(seed))
        assert clip.shape == (5, 24, 24, channels) and clip.dtype == np.uint8
        assert np.array_equal(clip, clip[:1].repeat(5, axis=0))


@pytest.mark.parametrize("crop", CROPS)
def test_the_generator_alone_decides(crop):
    frames, data = soft_frames(5, 40, 60), config(crop=crop, **EVERYTHING)
    one, again, other = (training_clip(frames, data, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_no_augmentation_is_the_centre_view():
    frames = soft_frames(3, 40, 60)
    expected = view_crops(frames, ViewConfig(short_side=32), 24, config())[0]
    assert np.array_equal(training_clip(frames, config(), np.random.default_rng(0)), expected)


def test_flip_mirrors_columns_of_every_frame():
    plain, flipped = (training_clip(coordinates(32, 50), config(horizontal_flip=probability), np.random.default_rng(0))
                      for probability in (0, 1))
    assert np.array_equal(flipped, plain[:, :, ::-1])


def test_padding_shifts_and_uncovers_black():
    clip = training_clip(np.full((3, 24, 24, 3), 200, np.uint8), config(crop="padded"), np.random.default_rng(0))
    assert np.array_equal(clip[0], clip[2]) and set(np.unique(clip)) == {0, 200}
    assert (clip == 200).mean() >= (21 / 24) ** 2


def test_multi_scale_takes_the_thirteen_sizes_at_any_place():
    augment, random = config(crop="multi_scale").augment, np.random.default_rng(0)
    boxes = np.array([transforms.multi_scale_box(256, 340, augment, random) for _ in range(3000)])
    top, left, height, width = boxes.T
    rank = {256: 0, 224: 1, 192: 2, 168: 3, 128: 4}        # 256 * .75 = 192, * .66 = 168.96
    assert {(rank[h], rank[w]) for h, w in boxes[:, 2:].tolist()} == {
        (i, j) for i in range(5) for j in range(5) if abs(i - j) <= 1}
    assert min(top) == min(left) == 0 and max(top + height) == 256 and max(left + width) == 340
    assert len(set(left.tolist())) > 150                   # of 213: a uniform place, not one of 13


def test_multi_scale_crops_of_images():
    data = config(crop="multi_scale", scales=[1.0])
    image = coordinates(24, 40)[1]
    view = transforms.training_view(image, data, np.random.default_rng(0))
    left = int(view[0, 0, 0])
    assert 0 < left < 16 and np.array_equal(view, image[:, left:left + 24])


def test_contrast_is_changed_around_the_mean_of_the_clip():
    frames = np.stack([np.full((24, 24, 3), level, np.uint8) for level in (80, 120)])
    data = config(short_side=24, color_jitter=0.4)
    clips = [training_clip(frames, data, np.random.default_rng(seed)) for seed in range(40)]
    ratios = [clip[1].mean() / clip[0].mean() for clip in clips]
    assert min(ratios) < 1.35 and max(ratios) > 1.65   # 1.27 to 1.78; frame by frame it would stay 120 / 80


@pytest.mark.parametrize("fill, values", [("pixel", 5), ("color", 1)])
def test_erasing_takes_one_box_of_all_frames(fill, values):
    random = np.random.default_rng(0)
    for _ in range(50):
        clip = np.full((3, 5, 32, 32), 7.0, np.float32)
        random_erasing(clip, 1.0, random, fill)
        erased = (clip != 7).all(0)
        rows, columns = np.flatnonzero(erased[0].any(1)), np.flatnonzero(erased[0].any(0))
        assert np.array_equal(erased, erased[:1].repeat(5, axis=0))
        assert erased[0].sum() == len(rows) * len(columns) > 0
        distinct = len(np.unique(clip[0, :, rows[0], columns[0]]))
        assert distinct == values and (len(np.unique(clip[0])) == 2) == (fill == "color")
