"""Pairs for a loader, windows for an evaluator, and sizes that do not fit."""

import numpy as np
import pytest

from msnoah.config import DataConfig
from msnoah.data.label_map import join
from msnoah.data.random_streams import Purpose, Streams
from msnoah.data.segmentation_views import SegmentationViews, evaluation_windows
from msnoah.data.transforms import fill_color
from msnoah.errors import DataError


class MemoryPairs:
    """A SegmentationSource of noise: image i is sizes[i], its mask mask_sizes[i]."""

    def __init__(self, sizes, mask_sizes=None):
        random = np.random.default_rng(0)
        self.classes, self.palette = ["a", "b"], np.zeros((2, 3), np.uint8)
        self.images = [random.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]
        self.masks = [random.integers(0, 2, size).astype(np.uint8) for size in mask_sizes or sizes]

    def __len__(self):
        return len(self.images)

    def image(self, index):
        return self.images[index]

    def mask(self, index):
        return self.masks[index]

    def name(self, index):
        return f"memory pair {index}"


def config(**kwargs):
    test = {"mode": "slide", "short_side": 64, "flip": True, "scales": [1, 2]}
    segmentation = {"short_side": 64, "test": test}
    return DataConfig(source="mni152", image_size=64, segmentation=segmentation, **kwargs)


@pytest.mark.parametrize("kind, counts", [("val", [1, 1]), ("test", [2 * (1 * 2 + 3 * 5), 2 * (1 * 1 + 3 * 3)])])
def test_windows_of_both_kinds_of_evaluation(kind, counts):
    """Of test, 64 x 102 and 128 x 205, 64 x 64 and 128 x 128 pixels at a stride of 42, and their mirror images."""
    source = MemoryPairs([(50, 80), (30, 30)])
    views = SegmentationViews(source, config(), kind)
    assert views.pixel_shape == (64, 64, 3) and views.take_rates() == {}
    for index, count in enumerate(counts):
        tiles, plan, mask = views.evaluation(index)
        assert tiles.shape == (count, *views.pixel_shape) and tiles.dtype == np.uint8
        assert join(np.zeros((count, 2, 8, 8), np.float32), plan).shape == mask.shape == source.masks[index].shape


def test_an_image_alone_is_cut_as_evaluation_cuts_it():
    source, data = MemoryPairs([(50, 80)]), config()
    tiles, plan, _ = SegmentationViews(source, data, "val").evaluation(0)
    again, same_plan = evaluation_windows(source.image(0), data, data.segmentation.val)
    assert np.array_equal(tiles, again) and plan == same_plan
    assert (tiles[0, 40:] == fill_color(data)).all() and not (tiles[0, 39] == fill_color(data)).all()


def test_grey_models_see_grey():
    data = config(channels=1, mean=[0.5], std=[0.5])
    views = SegmentationViews(MemoryPairs([(50, 80)]), data, "val")
    assert views.evaluation(0)[0].shape == (1, 64, 64, 1)
    assert views.training(0, np.random.default_rng(0))[0].shape == (64, 64, 1)


def test_training_pairs_follow_from_seed_epoch_and_sample():
    views = SegmentationViews(MemoryPairs([(50, 80), (90, 70)]), config(augment={"horizontal_flip": 0.5}), "train")

    first, again, later = (views.training(1, Streams(0, epoch).at(Purpose.SAMPLE, 1)) for epoch in (0, 0, 1))
    for part in range(2):
        assert np.array_equal(first[part], again[part]) and not np.array_equal(first[part], later[part])


@pytest.mark.parametrize("act", ["training", "evaluation"])
def test_an_image_and_a_mask_of_different_sizes_are_refused(act):
    views = SegmentationViews(MemoryPairs([(5, 8), (50, 80)], [(5, 8), (80, 50)]), config(), "val")
    arguments = [np.random.default_rng(0)] if act == "training" else []
    getattr(views, act)(0, *arguments)
    message = r"memory pair 1: an image of 50x80 pixels \(rows x columns\), but its mask has 80x50"
    with pytest.raises(DataError, match=message):
        getattr(views, act)(1, *arguments)


# changes of the config, what the message says
REFUSALS = [
    ({"segmentation": None}, "segmentation is missing; mni152 gives images with masks; say how they are cut"),
    ({"image_size": 100}, "image_size is 100; the window of a segmentation model has a multiple of 32, such as 96"),
    ({"augment": {"color_jitter": 0.4}}, "augment.color_jitter is not for images with masks"),
    ({"augment": {"crop": "random_resized"}}, "augment.crop is not for images with masks"),
    ({"segmentation": {"val": {"stride": 65}}}, "val.stride is 65, with gaps between windows of 64: make it 64"),
    ({"segmentation": {"jitter": (2, 0.5)}}, "goes from 2 to 0.5; write the smaller one first"),
    ({"source": "mask_folder", "segmentation": {"palette": [[0, 1, 2], [3, 4, 5], [0, 1, 2]]}},
     r"palette gives \[0, 1, 2\] to two classes"),
    ({"segmentation": {"palette": [[0, 1, 256]]}}, "less than or equal to 255"),
    ({"source": "digits"}, "segmentation belongs to sources of images with masks"),
    ({"source": "digits", "segmentation": None, "augment": {"photometric_distortion": {}}},
     "augment.photometric_distortion belongs to sources of images with masks"),
    ({"segmentation": {"reduce_zero_label": True}}, "reduce_zero_label belongs to mask_folder; mni152 knows its own"),
    ({"source": "ade20k", "segmentation": {"palette": [[0, 0, 0]]}}, "segmentation.palette belongs to mask_folder"),
    ({"clip": {}}, "clip belongs to video sources"),
]


@pytest.mark.parametrize("changes, message", REFUSALS, ids=[str(number) for number in range(len(REFUSALS))])
def test_configs_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(**{"source": "mni152", "image_size": 64, "segmentation": {}, **changes})
