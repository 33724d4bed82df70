"""Clips of videos as pixels of one shape: frames are chosen, read once, cropped and augmented."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from msnoah.config import DataConfig, ViewConfig
from msnoah.data.clip_cache import CachedVideos
from msnoah.data.clip_transforms import training_clip, view_crops
from msnoah.data.frame_sampling import check_length, evaluation_indices, training_indices
from msnoah.data.sources import Video, VideoSource
from msnoah.data.views import ViewKind, count_views, naming_failures
from msnoah.errors import ConfigError

_FRAMES_AT_ONCE = 32   # decoded frames that evaluation holds: 90 MB of 1280 x 720


class ClipTiming:
    """Seconds that threads spent on decoding and on transforming, summed up, and for how many clips."""

    def __init__(self):
        self._lock = threading.Lock()
        self.decode_seconds = self.transform_seconds = 0.0
        self.clips = 0

    @contextmanager
    def decoding(self, clips: int = 0) -> Iterator[None]:
        """Around the opening of a video, the reading of its frames and the preparing of a cache."""
        started = time.perf_counter()
        yield
        with self._lock:
            self.decode_seconds += time.perf_counter() - started
            self.clips += clips

    @contextmanager
    def transforming(self) -> Iterator[None]:
        """Around what is done to the frames of clips."""
        started = time.perf_counter()
        yield
        with self._lock:
            self.transform_seconds += time.perf_counter() - started

    def take_rates(self) -> dict[str, float]:
        """Clips per second of one thread's time since the last call, of each kind of work; empty if there was none."""
        with self._lock:
            clips, seconds = self.clips, (self.decode_seconds, self.transform_seconds)
            self.clips, self.decode_seconds, self.transform_seconds = 0, 0.0, 0.0
        names = ("decode_clips_per_s", "transform_clips_per_s")
        return {name: round(clips / spent, 3) for name, spent in zip(names, seconds) if clips and spent}


class ClipViews:
    """The clips of a VideoSource; with data.cache, of prepared videos. Frames that clips share are decoded once."""

    def __init__(self, source: VideoSource, data: DataConfig, kind: ViewKind):
        """`kind` says whether training or evaluation is to come, and which of the two ViewConfigs evaluation follows.

        Raises:
            ConfigError: a crop larger than the frames it is cut from, or a cache of smaller frames than are asked for.
            DataError: a cache folder that cannot be made.
        """
        self._view = data.clip.test if kind == "test" else data.clip.val
        self._size = data.image_size if kind == "train" else self._view.size or data.image_size
        _check_sizes(data, kind, self._view, self._size)
        self._source = CachedVideos(source, data.cache, data.interpolation) if data.cache else source
        self._data = data
        self.count = count_views(data, kind)
        self.pixel_shape = (data.clip.frames, self._size, self._size, data.channels)
        self.timing = ClipTiming()

    def training(self, index: int, random: np.random.Generator) -> np.ndarray:
        """One augmented clip, (T, image_size, image_size, C) uint8."""
        video = self._open(index, clips=1)
        indices, order = np.unique(training_indices(len(video), self._data.clip, random), return_inverse=True)
        frames = self._read(index, video, indices)
        with self._transforming(index, frames):
            return training_clip(frames, self._data, random)[order]

    def evaluation(self, index: int) -> np.ndarray:
        """All crops of all clips, (count, T, size, size, C) uint8; the crops of a clip are neighbours."""
        video = self._open(index, self._view.clips)
        chosen = evaluation_indices(len(video), self._data.clip, self._view.clips)   # (clips, T)
        indices, order = np.unique(chosen, return_inverse=True)
        crops = []
        for part in np.split(indices, range(_FRAMES_AT_ONCE, len(indices), _FRAMES_AT_ONCE)):
            frames = self._read(index, video, part)
            with self._transforming(index, frames):
                crops.append(view_crops(frames, self._view, self._size, self._data))   # (crops, F, size, size, C)
        with self.timing.transforming():
            crop, frame = np.arange(self._view.crops)[:, None], order.reshape(len(chosen), 1, -1)
            return np.concatenate(crops, axis=1)[crop, frame].reshape(self.count, *self.pixel_shape)

    def take_rates(self) -> dict[str, float]:
        """Clips per second of one thread, decoded and transformed since the last call."""
        return self.timing.take_rates()

    def _open(self, index: int, clips: int) -> Video:
        name = self._source.name(index)
        with self.timing.decoding(clips), naming_failures(name):
            video = self._source.video(index)
        check_length(len(video), self._data.clip, name)
        return video

    def _read(self, index: int, video: Video, indices: np.ndarray) -> np.ndarray:
        with self.timing.decoding(), naming_failures(self._source.name(index)):
            return video.read(indices.tolist())

    @contextmanager
    def _transforming(self, index: int, frames: np.ndarray) -> Iterator[None]:
        shape = "x".join(map(str, frames.shape))
        with self.timing.transforming(), naming_failures(f"{self._source.name(index)}: frames of {shape}"):
            yield


def _check_sizes(data: DataConfig, kind: ViewKind, view: ViewConfig, size: int) -> None:
    key, side = ("clip", data.clip.short_side) if kind == "train" else (f"clip.{kind}", view.short_side)
    if kind != "train" or data.augment.crop == "none":
        _require(f"{key}.short_side", side, size, f"crops of {size} are cut from its frames")
    if data.cache:
        _require("cache.short_side", data.cache.short_side, side, f"data.{key}.short_side asks for frames of {side}")


def _require(key: str, found: int, needed: int, why: str) -> None:
    if found < needed:
        raise ConfigError(f"data.{key} is {found}, but {why}; make it {needed} or more")
