"""Samples of a run's data as its artifact sees them in evaluation, for finding ranges and for comparing artifacts."""

from collections.abc import Iterator

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.sources import open_source
from msnoah.data.views import SkippedSample, open_views
from msnoah.errors import DataError

ROWS = 8
"""Samples of a batch; every inner value of the network is held for one batch at a time."""

LEAST = 8
"""Samples; fewer say little of the ranges that others have."""


class Samples:
    """Spread evenly over a split, whose samples may be in the order of classes; read anew for each pass over them."""

    def __init__(self, data: DataConfig, split: str, count: int, *, least: int = LEAST):
        """Looks for `count` samples, or all that there are.

        Raises:
            DataError: the split is not here, or has fewer than `least` samples.
        """
        self._data = _at_model_size(data)
        source = open_source(self._data, split)
        if len(source) < least:
            raise DataError(f"{data.source}: its {split} split has {len(source)} samples, expected {least} or more")
        self._views = open_views(source, self._data, "val")
        self._chosen = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round().astype(int)).tolist()

    def __len__(self) -> int:
        return len(self._chosen)

    def batches(self, limit: int | None = None) -> Iterator[np.ndarray]:
        """Pixels of at most `limit` samples, spread evenly: (B, H, W, C) or (B, T, H, W, C) uint8, B up to ROWS.

        Of several views of a clip the first is taken, of the windows of an image with a mask the middle one. With
        data.corrupt: skip, samples that cannot be read are left out.

        Raises:
            DataError: a sample that cannot be read, or no sample that can.
        """
        places = np.linspace(0, len(self) - 1, min(limit or len(self), len(self))).round().astype(int)
        found, failure, count = [], None, 0
        for place in places.tolist():
            try:
                found.append(self._read(self._chosen[place]))
            except DataError as error:
                failure = error
                if self._data.corrupt == "fail" and not isinstance(error, SkippedSample):
                    raise
            if len(found) == ROWS:
                yield np.stack(found)
                found, count = [], count + ROWS
        if found:
            yield np.stack(found)
        elif failure and not count:
            raise DataError(f"none of {len(places)} samples can be read, the last: {failure}")

    def _read(self, index: int) -> np.ndarray:
        seen = self._views.evaluation(index)
        return seen[0][len(seen[0]) // 2] if isinstance(seen, tuple) else seen[0]


def _at_model_size(data: DataConfig) -> DataConfig:
    """An artifact takes what the model is built for, whatever size validation crops clips to."""
    if data.clip is None:
        return data
    view = data.clip.val.model_copy(update={"size": None})
    return data.model_copy(update={"clip": data.clip.model_copy(update={"val": view})})
