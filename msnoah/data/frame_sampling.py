"""Which frames of a video make a clip: `frames` of them, every `interval`-th, from one start."""

import numpy as np

from msnoah.config import ClipConfig
from msnoah.data.views import SkippedSample
from msnoah.errors import DataError


def training_indices(total: int, clip: ClipConfig, random: np.random.Generator) -> np.ndarray:
    """Frame indices of one clip at a random start, (T,) int64, of a video of `total` frames.

    A start leaves room for T * interval frames, as TSN's dense sampling does. A shorter video is read from its first
    frame on, and again from there where it ends.
    """
    start = random.integers(max(total - clip.frames * clip.interval, 0) + 1)
    return (start + np.arange(clip.frames) * clip.interval) % total   # (T,)


def evaluation_indices(total: int, clip: ClipConfig, count: int) -> np.ndarray:
    """Frame indices of `count` clips, (count, T) int64: spread evenly over the video, a single one in its middle.

    Indices behind the end of a short video wrap around.
    """
    room = max(total - clip.span, 0)
    starts = np.round(np.linspace(0, room, count)).astype(np.int64) if count > 1 else np.array([room // 2])
    return (starts[:, None] + np.arange(clip.frames) * clip.interval) % total   # (count, T)


def check_length(total: int, clip: ClipConfig, name: str) -> None:
    """Answers a video of fewer frames than a clip spans as the config says: lets it loop, leaves it out, or fails.

    Raises:
        SkippedSample: a video that clip.short: skip leaves out.
        DataError: a video that is too short for clip.short: fail, or that has no frames at all.
    """
    if total < 1:
        raise DataError(f"{name}: holds no frames")
    if total >= clip.span or clip.short == "loop":
        return
    kind = SkippedSample if clip.short == "skip" else DataError
    raise kind(f"{name}: has {total} frames, but a clip of {clip.frames} at interval {clip.interval} spans {clip.span}")
