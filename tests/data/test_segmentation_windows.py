"""Cutting images into windows and joining logits, against doing it step by step with other means."""

import cv2
import numpy as np
import pytest

from msnoah.config import SegmentationViewConfig
from msnoah.data.image_windows import cut
from msnoah.data.label_map import join, join_labels, join_probabilities, resize_rows
from msnoah.data.resize import resize
from msnoah.errors import ConfigError

FILL = [124, 116, 104]
WINDOW = (64, 96)
WHOLE = {}
SLIDE = {"mode": "slide", "short_side": 80, "long_side": 300, "stride": 40}
SCALES = {"mode": "slide", "short_side": 70, "long_side": 200, "scales": [0.5, 1.0, 1.75], "flip": True}
VIEWS = {"whole": WHOLE, "whole, flipped": {"flip": True}, "whole, larger": {"scales": [1.6]},
         "slide": SLIDE, "slide, default stride": {**SLIDE, "stride": None}, "scales and flip": SCALES}
SIZES = [(50, 70), (64, 96), (100, 37), (33, 200), (1, 1), (1, 90), (301, 150)]


def picture(size, channels=3, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, size[::-1])[..., :channels]


def model(tiles, classes=7, stride=8):
    """Logits that follow the pixels and the place in the window: (n, classes, h / stride, w / stride)."""
    random = np.random.default_rng(5)
    small = tiles.reshape(len(tiles), tiles.shape[1] // stride, stride, -1, stride, tiles.shape[3]).mean((2, 4)) / 64
    weights, biases = (random.standard_normal((*sizes, classes)) for sizes in ([tiles.shape[3]], small.shape[1:3]))
    return (small @ weights + biases).transpose(0, 3, 1, 2).astype(np.float32)


def stretch(logits, size):
    """(K, h, w) -> (K, *size) by OpenCV, whose bilinear resizing of floats has half-pixel centres too."""
    return np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in logits])


def scaled_size(size, view, scale):
    short, long = scale * view.short_side, scale * view.long_side
    factor = min(short / min(size), long / max(size))
    if view.mode == "whole":
        factor = scale * min(WINDOW[0] / size[0], WINDOW[1] / size[1])
    return tuple(max(1, int(side * factor + 0.5)) for side in size)


def starts(scaled, window, stride):
    """Where mmsegmentation's sliding inference puts its windows."""
    count = max(scaled - window + stride - 1, 0) // stride + 1
    return [max(min(number * stride + window, scaled) - window, 0) for number in range(count)]


def step_by_step(image, view):
    """Mean probabilities (K, H, W), one window, one resize, one sum after the other."""
    total, looks = 0, 0
    for scale in view.scales:
        scaled = scaled_size(image.shape[:2], view, scale)
        pixels = resize(image, *scaled, "bilinear")
        for mirrored in [False, True] if view.flip else [False]:
            shown = pixels[:, ::-1] if mirrored else pixels
            summed, count, tiles, places = 0, np.zeros(scaled), [], []
            for top in starts(scaled[0], WINDOW[0], view.stride or 2 * WINDOW[0] // 3):
                for left in starts(scaled[1], WINDOW[1], view.stride or 2 * WINDOW[1] // 3):
                    tile = np.empty((*WINDOW, image.shape[2]), np.uint8)
                    tile[:] = FILL[:image.shape[2]]
                    part = shown[top:top + WINDOW[0], left:left + WINDOW[1]]
                    tile[:part.shape[0], :part.shape[1]] = part
                    tiles.append(tile)
                    places.append((top, left, *part.shape[:2]))
            summed = np.zeros((7, *scaled), np.float32)
            for logits, (top, left, height, width) in zip(model(np.stack(tiles)), places):
                summed[:, top:top + height, left:left + width] += stretch(logits, WINDOW)[:, :height, :width]
                count[top:top + height, left:left + width] += 1
            logits = stretch((summed / count).astype(np.float32), image.shape[:2])
            logits = logits[:, :, ::-1] if mirrored else logits
            exponentials = np.exp(logits - logits.max(0))
            total, looks = total + exponentials / exponentials.sum(0), looks + 1
    return total / looks


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("kind", VIEWS)
def test_joined_windows_equal_going_step_by_step(kind, size):
    image, view = picture(size), SegmentationViewConfig(**VIEWS[kind])
    tiles, plan = cut(image, WINDOW, view, fill=FILL)
    assert tiles.shape == (sum(look.count for look in plan), *WINDOW, 3) and tiles.dtype == np.uint8
    logits, expected = model(tiles), step_by_step(image, view)
    probabilities = join_probabilities(logits, plan)
    assert probabilities.shape == (7, *size)
    assert np.abs(probabilities - expected).max() < 2e-6   # rounding of float32 in four resizes: 3.3e-7 was the most
    labels, best = join(logits, plan), np.sort(expected, axis=0)
    clear = best[-1] - best[-2] > 4e-6
    assert labels.shape == size and labels.dtype == np.uint8 and clear.mean() > 0.99
    assert np.array_equal(labels[clear], expected.argmax(0)[clear])


def test_labels_are_those_of_the_probabilities():
    tiles, plan = cut(picture((70, 150)), WINDOW, SegmentationViewConfig(**SCALES), fill=FILL)
    assert np.array_equal(join(model(tiles), plan), join_probabilities(model(tiles), plan).argmax(0))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("kind", ["whole", "whole, larger", "slide", "slide, default stride"])
def test_label_maps_of_windows_are_joined_too(kind, size):
    """Windows that see the place of each pixel as a level, 0 to 250 along both sides, give it back."""
    rows, columns = (np.linspace(0, 250, side) for side in size)
    image = np.stack(np.broadcast_arrays(rows[:, None], columns, 0), 2).round().astype(np.uint8)
    tiles, plan = cut(image, WINDOW, SegmentationViewConfig(**VIEWS[kind]), fill=[255, 255, 255])
    for axis in range(2):
        found = join_labels(tiles[..., axis], plan).astype(int)
        assert found.shape == size
        assert np.abs(found - image[..., axis]).max() <= 250 / size[axis] + 4   # a pixel; a cell


def test_label_maps_are_those_of_the_logits_where_nothing_is_resized():
    image = picture(WINDOW)
    tiles, plan = cut(image, WINDOW, SegmentationViewConfig(), fill=FILL)
    labels = model(tiles, stride=1).argmax(1).astype(np.uint8)
    assert np.array_equal(join_labels(labels, plan), labels[0])
    small = labels[:, ::2, ::2]
    assert np.array_equal(join_labels(small, plan), small[0].repeat(2, 0).repeat(2, 1))


def test_labels_cannot_be_averaged():
    tiles, plan = cut(picture((64, 50)), WINDOW, SegmentationViewConfig(flip=True), fill=FILL)
    with pytest.raises(ConfigError, match="label maps of 2 scales and mirror images cannot be averaged"):
        join_labels(tiles[..., 0], plan)


@pytest.mark.parametrize("stride", [1, 4, 32])
def test_logits_may_have_any_stride(stride):
    tiles, plan = cut(picture((40, 90)), WINDOW, SegmentationViewConfig(), fill=FILL)
    logits = model(tiles, stride=stride)
    resized = stretch(stretch(logits[0], WINDOW)[:, :43, :96], (40, 90))   # 40 x 90 is fitted as 43 x 96
    best = np.sort(resized, axis=0)
    clear = best[-1] - best[-2] > 1e-5   # of logits around 5
    assert np.array_equal(join(logits, plan)[clear], resized.argmax(0)[clear]) and clear.mean() > 0.99


def test_an_image_of_the_window_s_size_is_left_alone():
    image = picture(WINDOW)
    tiles, plan = cut(image, WINDOW, SegmentationViewConfig(), fill=FILL)
    assert np.array_equal(tiles, image[None])
    logits = np.eye(3, dtype=np.float32)[np.arange(64 * 96).reshape(64, 96) % 3].transpose(2, 0, 1)[None]
    assert np.array_equal(join(logits, plan), np.arange(64 * 96).reshape(64, 96) % 3)


def test_what_is_padded_is_of_the_fill_and_is_cut_off():
    tiles, plan = cut(picture((64, 50)), WINDOW, SegmentationViewConfig(), fill=FILL)
    assert (tiles[0, :, 50:] == FILL).all() and not (tiles[0, :, 49] == FILL).all()
    logits = np.zeros((1, 2, 8, 12), np.float32)
    logits[:, 1, :, 7:] = 1   # columns 56 and on: seen through the last cell only, half of which is padding
    assert not join(logits, plan)[:, :49].any() and join(logits, plan).shape == (64, 50)


def test_grey_images_and_other_fills():
    tiles, _ = cut(picture((64, 50), channels=1), WINDOW, SegmentationViewConfig(flip=True), fill=[7])
    assert tiles.shape == (2, *WINDOW, 1) and (tiles[:, :, 50:] == 7).all()
    assert np.array_equal(tiles[1, :, :50], tiles[0, :, 49::-1])


@pytest.mark.parametrize(
    "size, windows", [((512, 512), 1), ((600, 3000), 6), ((3, 3000), 6), ((2000, 10), 6), ((1, 1), 1)])
def test_the_long_side_bounds_the_number_of_windows(size, windows):
    view = SegmentationViewConfig(mode="slide")
    tiles, plan = cut(np.zeros((*size, 3), np.uint8), (512, 512), view, fill=FILL)
    assert len(tiles) == windows and plan[0].rows.length == size[0]


@pytest.mark.parametrize("size, length", [(1, 5), (4, 4), (4, 9), (64, 512), (9, 4), (100, 3)])
def test_rows_are_resized_as_opencv_resizes(size, length):
    values = np.random.default_rng(0).standard_normal((size, 3)).astype(np.float32)
    expected = cv2.resize(values, (3, length), interpolation=cv2.INTER_LINEAR)
    assert np.abs(resize_rows(values, length) - expected).max() < 1e-5   # float32 of numbers around 1


def test_150_classes_are_joined_within_little_memory():
    import tracemalloc

    _, plan = cut(np.zeros((1024, 1024, 3), np.uint8), (512, 512), SegmentationViewConfig(), fill=FILL)
    logits = np.random.default_rng(0).standard_normal((1, 150, 64, 64)).astype(np.float32)
    tracemalloc.start()
    labels = join(logits, plan)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert labels.shape == (1024, 1024) and peak < 32e6   # bytes; all logits at once would be 629e6
