"""A split that is held in memory: small images that a data set's own reader has decoded."""

from collections.abc import Sequence

import numpy as np

from msnoah.data.channels import with_channels


class ArraySource:
    """Images in one array; `name` stands in messages (`Fashion-MNIST train image 3`)."""

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray, classes: Sequence[str], channels: int):
        """Takes images (N, H, W) or (N, H, W, 3) uint8 and labels (N,); `channels` is what `image` gives."""
        self._name, self._images, self._channels = name, images, channels
        self.labels = np.asarray(labels, np.int32)
        self.classes = list(classes)

    def __len__(self) -> int:
        return len(self._images)

    def image(self, index: int) -> np.ndarray:
        """One image, (H, W, channels) uint8."""
        return with_channels(self._images[index], self._channels)

    def name(self, index: int) -> str:
        """What a message calls an image."""
        return f"{self._name} image {index}"
