"""Videos in files, read by frame number through OpenCV, and streams of frames from files, cameras and addresses."""

import operator
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from msnoah.data.video_capture import check_video_file, codec_name, grab_frame, open_camera, open_capture, retrieve_rgb
from msnoah.data.video_index import LOST_AT_END, index_video, read_packets
from msnoah.errors import DataError

_SEEK_GAIN = 8     # a seek costs about as much as decoding so many frames
_SEEK_MARGIN = 4   # times of AVI frames are up to three frames late
_SEEK_LEAD = _SEEK_MARGIN + 16   # OpenCV decodes from the last key frame that is at least 16 before the frame it wants
_ADDRESSES = ("rtsp://", "rtmp://", "udp://", "tcp://", "http://", "https://")


class VideoFile:
    """A video file whose frames are those of decoding it from the start to the end, whatever the order of reading.

    OpenCV's seeking by number errs on variable frame rates, transport streams and others, so a frame is known by its
    time: after each seek and each step the decoder's time is looked up in the file's index, and where a seek lands
    nowhere known or too late, the file is decoded from its start. Seeks go backwards, and forwards over key frames.
    """

    def __init__(self, path: str | Path):
        """Indexes and opens a file.

        Raises:
            DataError: no such file, no video in it, or one that is cut short or damaged (see `index_video`).
        """
        self.path = Path(path)
        self._index = index_video(self.path)
        self._last = len(self) - 1   # that decodes; a few after it may not
        self._seeks = True
        self._capture: cv2.VideoCapture | None = None
        self._position = -1   # of the frame that was grabbed last
        self._size: tuple[int, ...] | None = None

    def __len__(self) -> int:
        """Frames that the stream has. Up to two at its end may not decode: they repeat the last one that does."""
        return len(self._index.times_ms)

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self.close()

    def close(self) -> None:
        """Releases the file; the next read opens it again."""
        if self._capture is not None:
            self._capture.release()
        self._capture, self._position = None, -1

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames by number, in any order and with repeats, (len(indices), H, W, 3) uint8 RGB, upright.

        Raises:
            IndexError: a number outside 0 to len - 1.
            DataError: a frame that cannot be decoded.
        """
        numbers = np.array([operator.index(number) for number in indices], np.int64)
        if not numbers.size:
            return self.read([0])[:0]
        if not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"{self.path}: frames {numbers.min()} to {numbers.max()} of 0 to {len(self) - 1}")
        ascending, places = np.unique(numbers, return_inverse=True)
        try:
            frames = self._read_ascending(ascending.tolist())
        except DataError:
            self.close()
            raise
        return frames if np.array_equal(ascending, numbers) else frames[places]

    def _read_ascending(self, numbers: list[int]) -> np.ndarray:
        frames = None
        for row, number in enumerate(numbers):
            self._reach(number)
            frame = retrieve_rgb(self._capture, f"{self.path}: frame {number}")
            if frames is None:
                frames = self._allocate(len(numbers), frame.shape)
            frames[row] = frame
        return frames   # (len(numbers), H, W, 3)

    def _allocate(self, count: int, shape: tuple[int, ...]) -> np.ndarray:
        try:
            return np.empty((count, *shape), np.uint8)
        except MemoryError as error:
            raise DataError(f"{self.path}: {count} frames of {shape[1]} x {shape[0]} do not fit in memory") from error

    def _reach(self, number: int) -> None:
        """Makes a frame the one that was grabbed last; for those that do not decode at the end, the last that does."""
        number = min(number, self._last)
        if self._capture is None:
            self._open()
        is_here = self._is_ahead(number) or self._seek(number)
        if is_here and self._advance(number):
            return
        self._open()
        if self._advance(number):
            return
        if not len(self) - 1 - LOST_AT_END <= self._position < number:
            raise DataError(f"{self.path}: damaged: frame {number} of {len(self)} cannot be decoded")
        self._last = self._position
        self._open()
        self._advance(self._last)

    def _is_ahead(self, number: int) -> bool:
        """Whether a frame is best reached by decoding on from here."""
        return self._position <= number and self._key_before(number) - self._position <= _SEEK_GAIN

    def _seek(self, number: int) -> bool:
        """Goes to frame `number` or one shortly before it; False if that cannot be done, and then never again."""
        if not self._seeks or self._key_before(number) <= 0:   # transport streams have no way back to their start
            return False
        frames_per_ms = self._capture.get(cv2.CAP_PROP_FPS) / 1000
        time_ms = self._index.times_ms[:number + 1].max()   # the last frames of some files have no time
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, max(int(time_ms * frames_per_ms) - _SEEK_MARGIN, 0))
        self._position = self._grab(None)
        self._seeks = 0 <= self._position <= number
        return self._seeks

    def _key_before(self, number: int) -> int:
        """About where a seek starts to decode, -1 if there is no seeking."""
        place = np.searchsorted(self._index.keys, number - _SEEK_LEAD, "right") - 1
        return int(self._index.keys[place]) if self._seeks and place >= 0 else -1

    def _advance(self, number: int) -> bool:
        """Decodes up to a frame; False if the stream ends before, or leaves it out."""
        while self._position < number:
            position = self._grab(self._position + 1)
            if position < 0:
                return False
            self._position = position
        return self._position == number

    def _grab(self, expected: int | None) -> int:
        """Decodes one frame; returns its number, or -1 at the end and if its time is that of no one frame."""
        if not grab_frame(self._capture):
            return -1
        number = self._index.number(self._capture.get(cv2.CAP_PROP_POS_MSEC), expected)
        return -1 if number is None else number

    def _open(self) -> None:
        self.close()
        self._capture = open_capture(str(self.path.absolute()))
        if self._capture is None:
            check_video_file(self.path)
            raise DataError(f"{self.path}: can no longer be opened; has the file changed?")


def open_stream(source: str | Path | int) -> Iterator[tuple[float, np.ndarray]]:
    """The frames of a video file, a camera (0 is the first) or an address (rtsp://, http:// ...), one after the other.

    Yields:
        Seconds since the start (of the file; of the stream; of the opening of a camera), always rising, and the frame,
        (H, W, 3) uint8 RGB. The source is released when the iterator ends or is closed.

    Raises:
        DataError: a source that cannot be opened (at once), or that gives not a single frame (at the first one).
    """
    if isinstance(source, int):
        name, capture = f"camera {source}", open_camera(source)
    elif str(source).startswith(_ADDRESSES):
        name, capture = source, open_capture(source)
    else:
        read_packets(Path(source))
        name, capture = source, open_capture(os.path.abspath(source))
    if capture is None:
        raise DataError(f"{name}: cannot be opened as a video")
    return _frames(capture, name, is_camera=isinstance(source, int))


def _frames(capture: cv2.VideoCapture, name: str, is_camera: bool) -> Iterator[tuple[float, np.ndarray]]:
    started, last = time.monotonic(), None
    step = 1 / max(capture.get(cv2.CAP_PROP_FPS), 1)
    try:
        while grab_frame(capture):
            seconds = time.monotonic() - started if is_camera else capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            last = seconds if last is None or seconds > last else last + step   # not every container has times
            yield last, retrieve_rgb(capture, name)
        if last is None:
            raise DataError(f"{name}: gives no frame (codec {codec_name(capture)})")
    finally:
        capture.release()
