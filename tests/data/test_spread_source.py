"""A part of a source, spread evenly over it, and data.train_images."""

import numpy as np
import pytest
from pydantic import ValidationError

from msnoah.config import DataConfig
from msnoah.data.sources import open_source
from msnoah.data.spread_source import SpreadSource

DIGITS = {"source": "digits", "channels": 1, "mean": [0.3], "std": [0.38]}


def test_images_are_spread_over_the_split():
    split = open_source(DataConfig(**DIGITS), "val")
    few = SpreadSource(split, 5)
    assert len(few) == 5 and few.name(0) == split.name(0) and few.name(4) == split.name(354)
    assert np.array_equal(few.image(1), split.image(88)) and few.labels[1] == split.labels[88]   # 354 / 4 = 88.5
    assert few.classes == split.classes and len(SpreadSource(split, 9999)) == 355


def test_train_images_leave_the_val_split_whole():
    data = DataConfig(**DIGITS, train_images=100)
    assert (len(open_source(data, "train")), len(open_source(data, "val"))) == (100, 355)


@pytest.mark.parametrize("source", ["camera_motion", "mni152"])
def test_train_images_are_of_images_with_one_label(source):
    with pytest.raises(ValidationError, match="train_images belongs to sources of images with one label"):
        DataConfig(source=source, train_images=5, clip={}, segmentation={})
