"""Batches from a source, built ahead by threads. What a batch holds depends on (seed, epoch, number) alone."""

import functools
import logging
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.mixup import mix, smooth_targets
from msnoah.data.preprocessing import normalise
from msnoah.data.random_erasing import random_erasing
from msnoah.data.random_streams import Purpose, Streams
from msnoah.data.sources import Source
from msnoah.data.views import SkippedSample, ViewKind, open_views
from msnoah.errors import ConfigError, DataError
from msnoah.sharding import WHOLE, Shard
from msnoah.train_config import MixupConfig

_LOG = logging.getLogger(__name__)
_REPLACEMENT_TRIES = 20


@dataclass(frozen=True)
class Batch:
    """One step's input. Samples from `count` on are padding: zeros in every field."""

    images: np.ndarray  # (B * views, C, H, W) or (B * views, C, T, H, W) float32, normalised; views are neighbours
    targets: np.ndarray  # (B, K) float32, sum to 1; of segmentation (B, H, W) int32 labels
    labels: np.ndarray  # (B,) int32
    count: int
    views: int = 1
    indices: np.ndarray | None = None  # (count,) int32, which samples of the split these are


class BatchLoader:
    """The batches of a split, in the same bits whatever `data.workers` is and wherever an epoch is entered."""

    def __init__(self, source: Source, data: DataConfig, *, batch_size: int, training: bool, seed: int = 0,
                 mixup: MixupConfig | None = None, label_smoothing: float = 0.0, views: ViewKind = "val",
                 repeats: int = 1, shard: Shard = WHOLE):
        """Training shuffles, augments, mixes, smooths and drops the last short batch; evaluation does none of these.

        repeats: repeated augmentation (Hoffer 2020, Berman 2019). In training a sample comes so often in a row, each
        time augmented anew; an epoch has as many samples as ever, so it sees so many fewer of them.
        shard: the part of each training batch that is built; a sample is the same bits in whatever part it lies.

        Raises:
            ConfigError: a batch that the workers cannot share evenly.
            DataError: no samples, or fewer than one training batch of them.
        """
        self._source, self._data, self._batch_size = source, data, batch_size
        self._rows = shard.rows(batch_size) if training else np.arange(batch_size)
        _require_pairs(mixup, len(self._rows), shard)
        self._training, self._seed, self._mixup = training, seed, mixup
        self._smoothing, self._repeats = (label_smoothing, repeats) if training else (0.0, 1)
        self._reported: set[str] = set()
        self.views = open_views(source, data, "train" if training else views)
        if len(source) < (batch_size if training else 1):
            raise DataError(f"{data.source} has {len(source)} samples, fewer than one batch of {batch_size}; "
                            "lower the batch size")

    def __len__(self) -> int:
        whole, rest = divmod(len(self._source), self._batch_size)
        return whole if self._training or not rest else whole + 1

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from number `start` on; closing the iterator ends its threads.

        Raises:
            DataError: a sample that cannot be read (data.corrupt: fail), or too many of them (skip).
        """
        stop, skipped = threading.Event(), []
        build = functools.partial(self._build, epoch, self._order(epoch), skipped, stop)
        workers = self._data.workers
        pool = ThreadPoolExecutor(workers, thread_name_prefix="msnoah-data")
        pending = deque()
        try:
            for number in range(start, len(self)):
                pending.append(pool.submit(build, number))
                if len(pending) > workers + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self._report(epoch, skipped)

    def _report(self, epoch: int, skipped: list[str]) -> None:
        """One line a sample that was left out, the first time that it is; then their number."""
        for message in sorted(set(skipped) - self._reported):
            _LOG.warning("skipped: %s", message)
        self._reported.update(skipped)
        if skipped:
            _LOG.warning("epoch %d: %d samples skipped", epoch + 1, len(skipped))

    def _order(self, epoch: int) -> np.ndarray:
        """The draws of an epoch. Draw i + size * k is of sample i for the k-th time: each has a stream of its own."""
        size = len(self._source)
        if not self._training:
            return np.arange(size)
        samples = Streams(self._seed, epoch).at(Purpose.ORDER).permutation(size)[:-(-size // self._repeats)]
        return (samples[:, None] + size * np.arange(self._repeats)).ravel()[:size]   # copies are neighbours

    def _build(self, epoch: int, order: np.ndarray, skipped: list, stop: threading.Event, number: int) -> Any:
        draws = order[number * self._batch_size:(number + 1) * self._batch_size]
        draws = draws[self._rows[: len(draws)]]   # the last batch of an evaluation is shorter
        streams = Streams(self._seed, epoch)
        samples = []
        for draw in map(int, draws):
            if stop.is_set():
                return None
            random = streams.at(Purpose.SAMPLE, draw) if self._training else None
            sample = self._read(draw % len(self._source), random, skipped)
            if sample is not None:
                samples.append(sample)
        return self._collate(samples, draws, streams, number)

    def _collate(self, samples: list[tuple[Any, int]], draws: np.ndarray, streams: Streams, number: int) -> Any:
        """What the loader yields, of views and the indices they were read from: others than `draws` where some were
        skipped."""
        labels = np.array([self._source.labels[index] for _, index in samples], np.int32)
        images, targets = self._arrays([views for views, _ in samples], labels)
        if self._training:
            targets = self._regularise(images, targets, streams, number, draws)
        padded = np.pad(labels, (0, len(self._rows) - len(labels)))
        return Batch(images, targets, padded, len(labels), self._rows_per_sample, indices_of(samples))

    @property
    def _rows_per_sample(self) -> int:
        return 1 if self._training else self.views.count

    def _read(self, index: int, random: np.random.Generator | None, skipped: list) -> tuple[Any, int] | None:
        """A sample as its views give it, and its index. With data.corrupt: skip, an unreadable sample is replaced by
        a random other in training; evaluation leaves it out, since another one in its place would count twice."""
        for _ in range(_REPLACEMENT_TRIES):
            try:
                return self.views.training(index, random) if self._training else self.views.evaluation(index), index
            except DataError as error:
                if self._data.corrupt == "fail" and not isinstance(error, SkippedSample):
                    raise
                skipped.append(str(error))
            if random is None:
                return None
            index = int(random.integers(len(self._source)))
        raise DataError(f"{_REPLACEMENT_TRIES} unreadable samples in a row, the last: {skipped[-1]}")

    def _arrays(self, views: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count, rows = len(views), self._rows_per_sample
        *frames, height, width, channels = self.views.pixel_shape
        images = np.zeros((len(self._rows) * rows, channels, *frames, height, width), np.float32)
        targets = np.zeros((len(self._rows), len(self._source.classes)), np.float32)
        if count:
            pixels = np.stack(views) if self._training else np.concatenate(views)
            images[:count * rows] = normalise(pixels, self._data)   # (rows, ..., C) -> (rows, C, ...)
            targets[:count] = smooth_targets(labels, targets.shape[1], self._smoothing)
        return images, targets

    def _regularise(self, images: np.ndarray, targets: np.ndarray, streams: Streams, number: int, draws) -> np.ndarray:
        """Random erasing and mixup, in place; returns the mixed targets."""
        probability = self._data.augment.random_erasing
        if probability:
            for image, draw in zip(images, map(int, draws)):
                random_erasing(image, probability, streams.at(Purpose.ERASING, draw), self._data.augment.erasing_fill)
        if self._mixup:
            targets = mix(images, targets, self._mixup, streams.at(Purpose.MIXING, number))
        return targets


def _require_pairs(mixup: MixupConfig | None, size: int, shard: Shard) -> None:
    if mixup and shard.workers > 1 and size % 2:
        raise ConfigError(f"train.mixup pairs the samples of a batch, but {shard.workers} workers have {size} each; "
                          f"make train.batch_size a multiple of {2 * shard.workers}")


def indices_of(samples: list[tuple[Any, int]]) -> np.ndarray:
    """Which samples of the split were read, (count,) int32, from what `_collate` takes."""
    return np.array([index for _, index in samples], np.int32)
