"""Classifying a stream while it runs: a ring of its newest frames, and a clip of them every `stride` frames."""

from dataclasses import dataclass

import numpy as np

from msnoah.config import ClipConfig
from msnoah.data.frame_sampling import evaluation_indices
from msnoah.deploy.classifier import Classifier
from msnoah.errors import DataError


@dataclass(frozen=True)
class Window:
    """One classified clip of a stream, or one image of it."""

    time_s: float                # when its last frame is shown
    first_frame: int
    last_frame: int
    probabilities: np.ndarray    # (K,) of this window alone
    smoothed: np.ndarray         # (K,) with the windows before
    cpu_ms: float                # for normalising and running the network

    @property
    def label(self) -> int:
        """The class with the largest smoothed probability."""
        return int(self.smoothed.argmax())


class FrameRing:
    """The frames that clips still need, none older than a clip's span; clips start at 0, stride, 2 stride and so on."""

    def __init__(self, clip: ClipConfig, stride: int):
        self._clip, self._stride = clip, stride
        self._kept: dict[int, np.ndarray] = {}
        self.count = 0   # frames seen

    def __len__(self) -> int:
        return len(self._kept)

    def needs_next(self) -> bool:
        """Whether a clip holds the next frame; of a film's beginning all are kept, since a short one is repeated."""
        if self.count < self._clip.span:
            return True
        first = (self.count - self._clip.span) // self._stride + 1   # number of the first clip that reaches so far
        starts = range(first * self._stride, self.count + 1, self._stride)
        return any((self.count - start) % self._clip.interval == 0 for start in starts)

    def push(self, pixels: np.ndarray | None) -> np.ndarray | None:
        """Takes the next frame, None if it is not needed; returns the clip that ends with it, (T, ...), if one does."""
        if pixels is not None:
            self._kept[self.count] = pixels
        self.count += 1
        start = self.count - self._clip.span
        is_due = start >= 0 and start % self._stride == 0
        clip = self._cut(range(start, self.count, self._clip.interval)) if is_due else None
        self._kept.pop(start, None)
        return clip

    def repeat(self) -> np.ndarray | None:
        """The clip of a film that is shorter than one, as evaluation reads it: from its start again and again."""
        is_short = 0 < self.count < self._clip.span
        return self._cut(evaluation_indices(self.count, self._clip, 1)[0]) if is_short else None

    def _cut(self, indices) -> np.ndarray:
        return np.stack([self._kept[int(index)] for index in indices])


class StreamClassifier:
    """Classifies the frames of a stream in windows, with probabilities smoothed from window to window.

    Smoothing is exponential: s = a s' + (1 - a) p, where p are the probabilities of the window, s' the smoothed ones
    before it and a is `smoothing`; the first window stands alone.
    """

    def __init__(self, classifier: Classifier, *, stride: int | None = None, smoothing: float = 0.5):
        """A window every `stride` frames, a clip's number of them if None. DataError for a setting out of range."""
        self.clip = classifier.data.clip or ClipConfig(frames=1, interval=1)
        self.stride = self.clip.frames if stride is None else stride
        if self.stride < 1 or not 0 <= smoothing < 1:
            found = f"stride {self.stride} and smoothing {smoothing}"
            raise DataError(f"{found}: expected at least 1, and from 0 to below 1")
        self._classifier, self._smoothing = classifier, smoothing
        self._ring = FrameRing(self.clip, self.stride)
        self._smoothed: np.ndarray | None = None

    def push(self, time_s: float, frame: np.ndarray) -> Window | None:
        """Takes the next frame, (H, W, 3) uint8 RGB, and its time; returns the window that ends with it, if any."""
        clip = self._ring.push(self._classifier.view(frame) if self._ring.needs_next() else None)
        return None if clip is None else self._classify(clip, time_s)

    def finish(self, time_s: float) -> Window | None:
        """The one window of a film that was shorter than a clip, from its frames repeated; None for any other."""
        clip = self._ring.repeat()
        return None if clip is None else self._classify(clip, time_s)

    def _classify(self, clip: np.ndarray, time_s: float) -> Window:
        # (T, S, S, C) -> (1, T, S, S, C); of images T is 1 already
        pixels = clip[None] if self._classifier.data.clip else clip
        started = self._classifier.cpu_clock()
        probabilities = self._classifier.probabilities(pixels)[0]
        cpu_ms = (self._classifier.cpu_clock() - started) / 1e6   # ns -> ms
        before = probabilities if self._smoothed is None else self._smoothed
        self._smoothed = self._smoothing * before + (1 - self._smoothing) * probabilities
        last = self._ring.count - 1
        return Window(time_s, max(last + 1 - self.clip.span, 0), last, probabilities, self._smoothed, cpu_ms)
