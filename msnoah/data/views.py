"""What a loader batches: a source's samples as pixels of one shape, images and clips alike."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import cv2
import numpy as np

from msnoah.config import DataConfig
from msnoah.data.preprocessing import evaluation_view
from msnoah.data.sources import ImageSource, Source
from msnoah.data.transforms import training_view
from msnoah.errors import DataError, describe_failure

ViewKind = Literal["train", "val", "test"]


class SkippedSample(DataError):
    """A sample that the config leaves out, whatever it says of unreadable ones: a video shorter than a clip."""


class Views(Protocol):
    """Samples of one split as uint8 pixels, read by index from any thread."""

    count: int                      # views of a sample in evaluation
    pixel_shape: tuple[int, ...]    # of one view: (H, W, C), or (T, H, W, C)

    def training(self, index: int, random: np.random.Generator) -> np.ndarray:
        """One augmented view, `pixel_shape` uint8; all draws come from `random`. DataError names an unreadable sample."""

    def evaluation(self, index: int) -> np.ndarray:
        """All views of a sample, (count, *pixel_shape) uint8. DataError names an unreadable sample."""

    def take_rates(self) -> dict[str, float]:
        """How fast samples were read and transformed since the last call, by name of the rate, for a run's history."""


class ImageViews:
    """Images, one view each."""

    count = 1

    def __init__(self, source: ImageSource, data: DataConfig):
        self._source, self._data = source, data
        self.pixel_shape = (data.image_size, data.image_size, data.channels)

    def training(self, index: int, random: np.random.Generator) -> np.ndarray:
        """One augmented image, (H, W, C) uint8."""
        image = self._source.image(index)
        with naming_failures(f"{self._source.name(index)}: an image of {_size(image)}"):
            return training_view(image, self._data, random)

    def evaluation(self, index: int) -> np.ndarray:
        """The image as evaluation sees it, (1, H, W, C) uint8."""
        image = self._source.image(index)
        with naming_failures(f"{self._source.name(index)}: an image of {_size(image)}"):
            return evaluation_view(image, self._data)[None]

    def take_rates(self) -> dict[str, float]:
        """None: reading images is not timed apart."""
        return {}


@contextmanager
def naming_failures(what: str) -> Iterator[None]:
    """Whatever a transform raises comes out as a DataError that says which sample it was."""
    try:
        yield
    except (cv2.error, ValueError, ArithmeticError, MemoryError) as error:
        raise DataError(f"{what} cannot be transformed: {describe_failure(error)}") from error


def _size(image: np.ndarray) -> str:
    return "x".join(map(str, image.shape))


def open_views(source: Source, data: DataConfig, kind: ViewKind = "val") -> Views:
    """The views of a source; `kind` says which of the config's two ways of looking evaluation follows, if it has two."""
    if data.segmentation is not None:
        return importlib.import_module("msnoah.data.segmentation_views").SegmentationViews(source, data, kind)
    if data.clip is not None:
        return importlib.import_module("msnoah.data.clip_views").ClipViews(source, data, kind)
    return ImageViews(source, data)


def count_views(data: DataConfig, kind: ViewKind) -> int:
    """How many views of a sample evaluation averages."""
    if data.clip is None:
        return 1
    view = data.clip.test if kind == "test" else data.clip.val
    return view.clips * view.crops
