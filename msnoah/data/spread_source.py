"""A part of a source of images."""

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.sources import ImageSource
from msnoah.errors import DataError


class SpreadSource:
    """`count` images of a source, or all if it has fewer, spread evenly over it: some are in the order of classes."""

    def __init__(self, source: ImageSource, count: int):
        self._source = source
        self._indices = np.linspace(0, len(source) - 1, min(count, len(source))).round().astype(int)
        self.labels, self.classes = source.labels[self._indices], source.classes

    def __len__(self) -> int:
        return len(self._indices)

    def image(self, index: int) -> np.ndarray:
        """One image, (H, W, C) uint8."""
        return self._source.image(int(self._indices[index]))

    def name(self, index: int) -> str:
        """What a message calls an image."""
        return self._source.name(int(self._indices[index]))


def check_part(data: DataConfig, count: int | None) -> None:
    """DataError if no `count` can be taken of the data: it is not 1 or more, or the source has no single labels."""
    if count is not None and count < 1:
        raise DataError(f"{count} images of a split: expected 1 or more")
    if count is not None and (data.clip or data.segmentation):
        raise DataError(f"a part of a split is for images with one label, but the run's source is {data.source}")
