"""Windows that slide over a long video: which frames each takes, and which time is its own."""

from dataclasses import dataclass

import numpy as np

from msnoah.errors import DataError


@dataclass(frozen=True)
class SlidingWindows:
    """Windows of `frames` frames, every `interval`-th one, that start every `stride` frames of a video.

    Positions count windows: 0 is the first one's middle, 1.5 half-way between the second and the third. Raises
    DataError unless all are at least 1.
    """

    frames: int
    interval: int
    stride: int

    def __post_init__(self):
        if min(self.frames, self.interval, self.stride) < 1:
            raise DataError(f"{self}: expected numbers of at least 1")

    @property
    def span(self) -> int:
        """Frames from the first to the last of a window."""
        return (self.frames - 1) * self.interval + 1

    def count(self, frame_count: int) -> int:
        """How many windows it takes until one reaches the video's last frame."""
        if frame_count < 1:
            raise DataError(f"a video of {frame_count} frames; expected at least 1")
        return 1 + max(0, -(-(frame_count - self.span) // self.stride))

    def indices(self, frame_count: int) -> np.ndarray:
        """Frames of every window, (windows, frames) int64; beyond its end a video stands still on its last frame."""
        starts = np.arange(self.count(frame_count)) * self.stride
        return np.minimum(starts[:, None] + np.arange(self.frames) * self.interval, frame_count - 1)

    def seconds(self, positions: np.ndarray, fps: float) -> np.ndarray:
        """Times of positions in a video of `fps` frames a second. Any shape, float64"""
        return (np.asarray(positions, np.float64) * self.stride + self.span / 2) / fps

    def positions(self, seconds: np.ndarray, fps: float) -> np.ndarray:
        """Positions of times, the inverse of `seconds`. Any shape, float64"""
        return (np.asarray(seconds, np.float64) * fps - self.span / 2) / self.stride
