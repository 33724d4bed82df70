"""A cache of prepared videos: all frames of a video, made small once, in one file that gives any of them at once.

A video is prepared when it is first asked for, by one decoding from its first frame to its last. Training sees the
same bits whether a video was prepared before, just now, or could not be kept: every frame is compressed and
decompressed, always.
"""

import hashlib
import logging
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from msnoah.config import ClipCacheConfig
from msnoah.data.frame_container import DamagedContainer, FrameContainer, write_container
from msnoah.data.resize import resize, scaled_size
from msnoah.data.sources import Video, VideoSource
from msnoah.errors import DataError, RunFolderError

_LOG = logging.getLogger(__name__)
_FRAMES_AT_ONCE = 32
_LOCKS = tuple(threading.Lock() for _ in range(64))   # two threads never prepare one file at the same time


@dataclass(frozen=True)
class FrameCodec:
    """Frames made small and compressed: (H, W, 3) uint8 RGB <-> the bytes of a JPEG, or of a PNG without a quality."""

    short_side: int
    quality: int | None
    interpolation: str

    def encode(self, frame: np.ndarray) -> bytes:
        """A frame with a shorter side of at most `short_side`, compressed; a smaller frame keeps its size."""
        if min(frame.shape[:2]) > self.short_side:
            frame = resize(frame, *scaled_size(*frame.shape[:2], self.short_side), self.interpolation)
        kind, options = (".png", []) if self.quality is None else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return cv2.imencode(kind, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)[1].tobytes()

    def decode(self, content: Sequence[bytes]) -> np.ndarray:
        """Compressed frames of one size as pixels, (len(content), H, W, 3) uint8 RGB."""
        frames = [cv2.imdecode(np.frombuffer(compressed, np.uint8), cv2.IMREAD_COLOR) for compressed in content]
        pixels = np.empty((len(frames), *frames[0].shape), np.uint8)
        for frame, out in zip(frames, pixels):
            cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, dst=out)
        return pixels


class CompressedVideo:
    """A video without a file in the cache, in the bits that it would have there."""

    def __init__(self, video: Video, codec: FrameCodec):
        self._video, self._codec = video, codec

    def __len__(self) -> int:
        return len(self._video)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames by index, (len(indices), H, W, 3) uint8 RGB."""
        return self._codec.decode([self._codec.encode(frame) for frame in self._video.read(indices)])


class PreparedVideo:
    """A video in the cache. A file that turns out to be damaged is dropped, and its frames come from the original."""

    def __init__(self, container: FrameContainer, codec: FrameCodec, open_original: Callable[[], Video]):
        self._container, self._codec, self._open_original = container, codec, open_original

    def __len__(self) -> int:
        return len(self._container)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames by index, (len(indices), H, W, 3) uint8 RGB."""
        try:
            return self._codec.decode(self._container.read(indices))
        except (DamagedContainer, OSError):
            self._container.remove()
            return CompressedVideo(self._open_original(), self._codec).read(indices)


class CachedVideos:
    """A VideoSource whose videos are read from a folder of prepared ones, which several processes may share.

    A file holds one video at one size and quality. It is written anew when the video's size or time has changed, and
    when it is damaged. A video with frames that cannot be decoded is not kept. When nothing can be written, on a full
    disk, training goes on after one warning and decodes what the folder lacks.
    """

    def __init__(self, source: VideoSource, cache: ClipCacheConfig, interpolation: str):
        """Takes what is to be cached and where; `interpolation` is used to make frames small.

        Raises:
            DataError: the folder cannot be made.
        """
        self._source, self._folder = source, Path(cache.path)
        self._codec = FrameCodec(cache.short_side, cache.quality, interpolation)
        self.classes, self.labels = source.classes, source.labels
        self._damaged, self._writable = set(), True
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self._folder}: data.cache.path cannot be made: {error.strerror}") from error

    def __len__(self) -> int:
        return len(self._source)

    def name(self, index: int) -> str:
        """What a message calls a video."""
        return self._source.name(index)

    def video(self, index: int) -> Video:
        """A video whose frames come from the cache; DataError names one that is missing, empty or holds no video."""
        def open_original() -> Video:
            return self._source.video(index)

        container = self._container(index, open_original)
        if container is None:
            return CompressedVideo(open_original(), self._codec)
        return PreparedVideo(container, self._codec, open_original)

    def _container(self, index: int, open_original: Callable[[], Video]) -> FrameContainer | None:
        """The file of a video, written if it has none that is whole; None where there can be none."""
        place, state = _identity(self._source.name(index), open_original)
        path, key = self._folder / f"{_digest(place, self._codec).hex()}.frames", _digest(state)
        with _LOCKS[hash(path) % len(_LOCKS)]:
            try:
                return FrameContainer(path, key)
            except (DamagedContainer, OSError):
                unkept = index in self._damaged or not self._writable
                return None if unkept else self._prepare(index, path, key, open_original())

    def _prepare(self, index: int, path: Path, key: bytes, video: Video) -> FrameContainer | None:
        try:
            write_container(path, key, len(video), map(self._codec.encode, _all_frames(video)))
            return FrameContainer(path, key)
        except DataError:
            self._damaged.add(index)   # it may still have the frames of a clip
        except (RunFolderError, DamagedContainer, OSError) as error:
            self._writable = False
            _LOG.warning("%s; training goes on and decodes what the cache lacks", error)
        return None


def _all_frames(video: Video) -> Iterator[np.ndarray]:
    for start in range(0, len(video), _FRAMES_AT_ONCE):
        yield from video.read(list(range(start, min(start + _FRAMES_AT_ONCE, len(video)))))


def _identity(name: str, open_original: Callable[[], Video]) -> tuple[str, object]:
    """Where a video comes from, and what changes when the video does: a file's size and time, those of all files of a
    folder, and for a video that is neither, checksums of its first, middle and last frame."""
    try:
        return os.path.abspath(name), _state(Path(name))
    except (OSError, ValueError):   # no file, or one that may not be looked at: the source will say so
        video = open_original()
    frames = video.read([0, len(video) // 2, len(video) - 1]) if len(video) else np.zeros(0)
    return name, (len(video), frames.shape, zlib.crc32(frames.tobytes()))


def _state(path: Path) -> list[tuple[str, int, int]]:
    files = [path, *os.scandir(path)] if path.is_dir() else [path]
    return sorted((file.name, (state := file.stat()).st_size, state.st_mtime_ns) for file in files)


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()
