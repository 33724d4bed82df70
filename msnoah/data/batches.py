"""Batches from a source, built ahead by threads. What a batch holds depends on (seed, epoch, number) alone."""

import functools
import logging
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from msnoah.config import DataConfig, MixupConfig
from msnoah.data.mixup import mix, smooth_targets
from msnoah.data.preprocessing import evaluation_view, normalise
from msnoah.data.random_erasing import random_erasing
from msnoah.data.random_streams import Purpose, Streams
from msnoah.data.sources import ImageSource
from msnoah.data.transforms import training_view
from msnoah.errors import DataError

_LOG = logging.getLogger(__name__)
_REPLACEMENT_TRIES = 20


@dataclass(frozen=True)
class Batch:
    """One step's input. Rows from `count` on are padding: zeros in every field."""

    images: np.ndarray  # (B, C, H, W) float32, normalised
    targets: np.ndarray  # (B, K) float32, sum to 1
    labels: np.ndarray  # (B,) int32
    count: int


class BatchLoader:
    """The batches of a split, in the same bits whatever `data.workers` is and wherever an epoch is entered."""

    def __init__(self, source: ImageSource, data: DataConfig, *, batch_size: int, training: bool, seed: int = 0,
                 mixup: MixupConfig | None = None, label_smoothing: float = 0.0):
        """Training shuffles, augments, mixes, smooths and drops the last short batch; evaluation does none of these.

        Raises:
            DataError: no images, or fewer than one training batch of them.
        """
        self._source, self._data, self._batch_size = source, data, batch_size
        self._training, self._seed, self._mixup = training, seed, mixup
        self._smoothing = label_smoothing if training else 0.0
        if len(source) < (batch_size if training else 1):
            raise DataError(f"{data.source} has {len(source)} images, fewer than one batch of {batch_size}; lower the batch size")

    def __len__(self) -> int:
        whole, rest = divmod(len(self._source), self._batch_size)
        return whole if self._training or not rest else whole + 1

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from number `start` on; closing the iterator ends its threads.

        Raises:
            DataError: an image that cannot be read (data.corrupt: fail), or too many of them (skip).
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
            if skipped:
                _LOG.warning("epoch %d: %d unreadable images skipped, the first: %s", epoch, len(skipped), skipped[0])

    def _order(self, epoch: int) -> np.ndarray:
        size = len(self._source)
        return Streams(self._seed, epoch).at(Purpose.ORDER).permutation(size) if self._training else np.arange(size)

    def _build(self, epoch: int, order: np.ndarray, skipped: list, stop: threading.Event, number: int) -> Batch | None:
        indices = order[number * self._batch_size:(number + 1) * self._batch_size]
        streams = Streams(self._seed, epoch)
        views, labels = [], []
        for index in map(int, indices):
            if stop.is_set():
                return None
            random = streams.at(Purpose.SAMPLE, index) if self._training else None
            read = self._read(index, random, skipped)
            if read is not None:
                image, read_index = read
                views.append(self._view(image, read_index, random))
                labels.append(self._source.labels[read_index])
        images, targets = self._arrays(views, np.array(labels, np.int32))
        if self._training:
            targets = self._regularise(images, targets, streams, number, indices)
        return Batch(images, targets, np.pad(np.array(labels, np.int32), (0, len(images) - len(views))), len(views))

    def _read(self, index: int, random: np.random.Generator | None, skipped: list) -> tuple[np.ndarray, int] | None:
        """An image and its index. With data.corrupt: skip, an unreadable one is replaced by a random other in training;
        evaluation leaves it out, since another image in its place would count twice."""
        for _ in range(_REPLACEMENT_TRIES):
            try:
                return self._source.image(index), index
            except DataError as error:
                if self._data.corrupt == "fail":
                    raise
                skipped.append(str(error))
            if random is None:
                return None
            index = int(random.integers(len(self._source)))
        raise DataError(f"{_REPLACEMENT_TRIES} unreadable images in a row, the last: {skipped[-1]}")

    def _view(self, image: np.ndarray, index: int, random: np.random.Generator | None) -> np.ndarray:
        try:
            return training_view(image, self._data, random) if self._training else evaluation_view(image, self._data)
        except (cv2.error, ValueError, ArithmeticError, MemoryError) as error:
            shape = "x".join(map(str, image.shape))
            raise DataError(f"{self._source.name(index)}: an image of {shape} cannot be transformed: {error}") from error

    def _arrays(self, views: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        data, size, count = self._data, self._batch_size, len(views)
        images = np.zeros((size, data.channels, data.image_size, data.image_size), np.float32)
        targets = np.zeros((size, len(self._source.classes)), np.float32)
        if count:
            images[:count] = normalise(np.stack(views), data)   # (count, H, W, C) -> (count, C, H, W)
            targets[:count] = smooth_targets(labels, targets.shape[1], self._smoothing)
        return images, targets

    def _regularise(self, images: np.ndarray, targets: np.ndarray, streams: Streams, number: int, indices) -> np.ndarray:
        """Random erasing and mixup, in place; returns the mixed targets."""
        probability = self._data.augment.random_erasing
        if probability:
            for image, index in zip(images, map(int, indices)):
                random_erasing(image, probability, streams.at(Purpose.ERASING, index))
        if self._mixup:
            targets = mix(images, targets, self._mixup, streams.at(Purpose.MIXING, number))
        return targets
