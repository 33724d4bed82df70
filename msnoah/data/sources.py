"""Where labelled images and videos come from: a protocol and a file for each kind of source, one table."""

import importlib
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

from msnoah.config import DataConfig
from msnoah.errors import DataError


class ImageSource(Protocol):
    """One split of a labelled data set, read by index from any thread."""

    classes: list[str]
    labels: np.ndarray  # (N,) int32, indices into classes

    def __len__(self) -> int: ...

    def image(self, index: int) -> np.ndarray:
        """One image, (H, W, C) uint8, RGB or grey as DataConfig.channels says; DataError names an unreadable file."""

    def name(self, index: int) -> str:
        """What a message calls an image: its path, or its place in the data set."""


class Video(Protocol):
    """The frames of one video, read in any order."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames by index (any order, repeats allowed), (len(indices), H, W, 3) uint8 RGB. DataError for what is damaged."""


class VideoSource(Protocol):
    """One split of a labelled set of videos, opened by index from any thread."""

    classes: list[str]
    labels: np.ndarray  # (N,) int32, indices into classes

    def __len__(self) -> int: ...

    def video(self, index: int) -> Video:
        """A video, opened; DataError names a file that is missing, empty or holds no video."""

    def name(self, index: int) -> str:
        """What a message calls a video: its path, or its place in the data set. Differs for each sample."""


class SegmentationSource(Protocol):
    """One split of images whose every pixel has a label, read by index from any thread."""

    classes: list[str]   # at most 255
    palette: np.ndarray  # (len(classes), 3) uint8 RGB, to draw classes in

    def __len__(self) -> int: ...

    def image(self, index: int) -> np.ndarray:
        """One image, (H, W, C) uint8, RGB or grey as DataConfig.channels says; DataError names an unreadable file."""

    def mask(self, index: int) -> np.ndarray:
        """Its labels, (H, W) uint8: indices into classes, 255 for pixels that do not count.

        DataError names an unreadable file, or a value that is no class and its place.
        """

    def name(self, index: int) -> str:
        """What a message calls a pair of image and mask."""


Source = ImageSource | VideoSource | SegmentationSource

_OPENERS = {
    "digits": ("msnoah.data.digits", "open_digits"),
    "fashion_mnist": ("msnoah.data.idx", "open_fashion_mnist"),
    "cifar10": ("msnoah.data.cifar", "open_cifar10"),
    "cifar100": ("msnoah.data.cifar", "open_cifar100"),
    "image_folder": ("msnoah.data.image_folder", "open_image_folder"),
    "video_list": ("msnoah.data.video_list", "open_video_list"),
    "frame_list": ("msnoah.data.video_list", "open_frame_list"),
    "camera_motion": ("msnoah.data.camera_motion", "open_camera_motion"),
    "mask_folder": ("msnoah.data.segment_folder", "open_mask_folder"),
    "ade20k": ("msnoah.data.segmentation_layouts", "open_ade20k"),
    "coco_stuff": ("msnoah.data.segmentation_layouts", "open_coco_stuff"),
    "pascal_context": ("msnoah.data.segmentation_layouts", "open_pascal_context"),
    "mni152": ("msnoah.data.mni152", "open_mni152"),
}


def open_source(data: DataConfig, split: Literal["train", "val"]) -> Source:
    """One split of the data that a config names.

    Raises:
        DataError: data that is missing, damaged or laid out in another way, with what was looked for and where.
    """
    if split not in ("train", "val"):
        raise DataError(f"unknown split '{split}' of {data.source}; it has 'train' and 'val'")
    module, opener = _OPENERS[data.source]
    source = getattr(importlib.import_module(module), opener)(data, split)
    if split == "train" and data.train_images:
        return importlib.import_module("msnoah.data.spread_source").SpreadSource(source, data.train_images)
    return source
