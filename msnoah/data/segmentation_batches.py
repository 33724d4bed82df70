"""Images with masks for training and evaluation, read ahead by the threads of the loader of all data."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.batches import Batch, BatchLoader, indices_of
from msnoah.data.image_windows import Plan
from msnoah.data.preprocessing import normalise
from msnoah.data.random_streams import Streams
from msnoah.data.sources import Source


@dataclass(frozen=True)
class Windows:
    """One image of an evaluation: what the model sees of it, and how its answers become a label map."""

    images: np.ndarray  # (n, C, H, W) float32, normalised
    plan: Plan
    mask: np.ndarray  # (H, W) uint8, of the image's own size


class SegmentationLoader(BatchLoader):
    """Training yields a Batch of images with masks as targets; evaluation the Windows of one image after the other, or
    None for an image that was skipped."""

    def __init__(self, source: Source, data: DataConfig, *, batch_size: int, training: bool, **options: Any):
        """As BatchLoader; evaluation takes images one by one, whatever `batch_size` is."""
        super().__init__(source, data, batch_size=batch_size if training else 1, training=training, **options)

    def _collate(self, samples: list, draws: np.ndarray, streams: Streams, number: int) -> Batch | Windows | None:
        if not self._training:
            return Windows(normalise(samples[0][0][0], self._data), *samples[0][0][1:]) if samples else None
        images = normalise(np.stack([image for (image, _), _ in samples]), self._data)   # (B, H, W, C) -> (B, C, H, W)
        masks = np.stack([mask for (_, mask), _ in samples]).astype(np.int32)
        labels = np.zeros(len(samples), np.int32)
        return Batch(images, masks, labels, len(samples), indices=indices_of(samples))
