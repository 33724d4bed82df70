"""Images with masks as a loader and an evaluator take them."""

import numpy as np

from msnoah.config import DataConfig, SegmentationViewConfig
from msnoah.data.channels import with_channels
from msnoah.data.image_windows import Plan, cut
from msnoah.data.segmentation_transforms import training_pair
from msnoah.data.sources import SegmentationSource
from msnoah.data.transforms import fill_color
from msnoah.data.views import ViewKind, naming_failures
from msnoah.errors import DataError


class SegmentationViews:
    """Pairs of one shape for training; for evaluation as many windows as an image needs."""

    def __init__(self, source: SegmentationSource, data: DataConfig, kind: ViewKind):
        """`kind` says which of the two SegmentationViewConfigs evaluation follows."""
        self._source, self._data = source, data
        self._view = data.segmentation.test if kind == "test" else data.segmentation.val
        self.pixel_shape = (data.image_size, data.image_size, data.channels)

    def training(self, index: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One augmented pair, image `pixel_shape` and mask (image_size, image_size) uint8; `random` makes all draws.

        Raises:
            DataError: an unreadable file, a value that is no class, or an image and a mask of different sizes.
        """
        image, mask = self._read(index)
        with naming_failures(f"{self._source.name(index)}: an image of {_size(image)}"):
            return training_pair(image, mask, self._data, random)

    def evaluation(self, index: int) -> tuple[np.ndarray, Plan, np.ndarray]:
        """Windows (n, *pixel_shape) uint8, the plan to join their logits by, and the mask (H, W) uint8.

        Raises:
            DataError: as `training` does.
        """
        image, mask = self._read(index)
        with naming_failures(f"{self._source.name(index)}: an image of {_size(image)}"):
            return *evaluation_windows(image, self._data, self._view), mask

    def take_rates(self) -> dict[str, float]:
        """None: reading images is not timed apart."""
        return {}

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, mask = self._source.image(index), self._source.mask(index)
        if image.shape[:2] != mask.shape:
            raise DataError(f"{self._source.name(index)}: an image of {_size(image[..., 0])} pixels (rows x columns), "
                            f"but its mask has {_size(mask)}")
        return image, mask


def evaluation_windows(image: np.ndarray, data: DataConfig, view: SegmentationViewConfig) -> tuple[np.ndarray, Plan]:
    """An image, (H, W, 1 or 3) uint8, through the model's window: (n, image_size, image_size, channels) uint8, and the
    plan by which `join` makes a label map of their logits."""
    window, fill = (data.image_size, data.image_size), fill_color(data)
    return cut(with_channels(image, data.channels), window, view, fill=fill, interpolation=data.interpolation)


def _size(pixels: np.ndarray) -> str:
    return "x".join(map(str, pixels.shape))
