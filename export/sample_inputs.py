"""Pixels on which artifacts are verified: the validation split if it is at hand, else noise."""

import sys

import numpy as np

from msnoah.config import DataConfig, RunConfig
from msnoah.data.sources import open_source
from msnoah.data.views import SkippedSample, Views, open_views
from msnoah.errors import DataError


def sample_pixels(config: RunConfig, count: int) -> tuple[np.ndarray, str]:
    """`count` samples as evaluation sees them, uint8, and their origin: "val images", "val clips" or "seeded noise".

    Images are (N, H, W, C), clips (N, T, H, W, C); of several views or windows of a sample the first one counts.
    """
    data = _at_image_size(config.data)
    try:
        source = open_source(data, "val")
        views = open_views(source, data, "val")
        chosen = np.linspace(0, len(source) - 1, count).astype(int)
        samples = _read(views, chosen.tolist(), skips=data.corrupt == "skip")
        return samples[np.arange(count) % len(samples)], "val clips" if data.clip else "val images"
    except DataError as error:
        print(f"verifying on seeded noise, since there is no val split here: {error}", file=sys.stderr)
    frames = (data.clip.frames,) if data.clip else ()
    shape = (count, *frames, data.image_size, data.image_size, data.channels)
    return np.random.default_rng(config.seed).integers(0, 256, shape, np.uint8), "seeded noise"


def _read(views: Views, chosen: list[int], skips: bool) -> np.ndarray:
    """The first view of every sample that can be read; the DataError of one that cannot, unless the config skips it."""
    samples, failure = [], None
    for index in chosen:
        try:
            seen = views.evaluation(index)
            samples.append((seen[0] if isinstance(seen, tuple) else seen)[0])   # of images with masks, their windows
        except DataError as error:
            failure = error
            if not (skips or isinstance(error, SkippedSample)):
                raise
    if not samples:
        raise failure or DataError("the val split is empty")
    return np.stack(samples)


def _at_image_size(data: DataConfig) -> DataConfig:
    """An artifact takes what the model is built for, whatever size validation crops clips to."""
    if data.clip is None:
        return data
    view = data.clip.val.model_copy(update={"size": None})
    return data.model_copy(update={"clip": data.clip.model_copy(update={"val": view})})
