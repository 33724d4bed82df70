"""Where the frames of a video file lie in time: what makes reading by number exact."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np

from msnoah.data.packet_size import WITH_HIDDEN_FRAMES, frame_size, is_hidden
from msnoah.data.video_capture import check_video_file, codec_name, grab_frame, open_capture
from msnoah.data.video_container import check_whole
from msnoah.errors import DataError

LOST_AT_END = 2        # frames that a decoder may swallow at the end of a sound file
_LEAST_PART = 0.95     # of the frames that a header counts; AVI headers count frames that were dropped, too
_CACHED_FILES = 16_384
_HEAD_BYTES = 4096     # of a packet, where its frame size stands


@dataclass(frozen=True)
class VideoIndex:
    """The times of a video's frames in the order of showing, and where decoding can begin."""

    times_ms: np.ndarray   # (N,) float64, as the decoder gives them; in some AVI files neither sorted nor unique
    keys: np.ndarray       # (K,) int64, about the number of the frame

    @cached_property
    def _unique(self) -> tuple[np.ndarray, np.ndarray]:
        times, first, counts = np.unique(self.times_ms, return_index=True, return_counts=True)
        # A frame without a time has time 0, too: alone the first one may be known by it.
        known = (counts == 1) & ((times != 0) | (first == 0))
        return times[known], first[known]

    def number(self, time_ms: float, expected: int | None = None) -> int | None:
        """The number of the frame with exactly this time, None if no one frame has it; the expected one comes first."""
        if expected is not None and expected < len(self.times_ms) and self.times_ms[expected] == time_ms:
            return expected
        times, numbers = self._unique
        place = int(np.searchsorted(times, time_ms))
        return int(numbers[place]) if place < len(times) and times[place] == time_ms else None


def index_video(path: Path) -> VideoIndex:
    """The index of a video file, remembered until the file changes.

    Packets are counted without decoding, milliseconds a file, and relied on where each has a time of its own, the first
    decoded frame has the first of these times, and the header counts as many. Other files (AVI with B-frames, edit
    lists, program streams, estimated counts) are decoded once from end to end.

    Raises:
        DataError: nothing that is a video file, one that is cut short, or one whose frames do not all decode.
    """
    check_video_file(path)
    state = path.stat()
    return _index(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=_CACHED_FILES)
def _index(path: Path, _modified_ns: int, _size: int) -> VideoIndex:
    times, keys, header_count = read_packets(path)
    ordered = np.unique(times)
    if len(times) == header_count == len(ordered) and _decode_times(path, 1) == [ordered[0]]:
        return VideoIndex(ordered, keys)
    decoded = np.array(_decode_times(path))
    _check_decoded(path, decoded, ordered)
    return VideoIndex(decoded, keys)


def read_packets(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Times in ms by packet in the order of the file, the packets that are key frames, and the header's frame count.

    Raises:
        DataError: nothing that is a video file, one that is cut short, or one whose frames change in size.
    """
    check_video_file(path)
    is_counted = check_whole(path)
    capture = open_capture(str(path.absolute()), raw=True)
    if capture is None:
        with path.open("rb") as file:
            head = file.read(12)
        raise DataError(f"{path}: holds no video stream: audio alone, or no video file (it begins with {head!r})")
    times, keys, sizes = [], [], []
    try:
        codec = codec_name(capture)
        while capture.grab():
            if capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME):
                keys.append(len(times))
                sizes.append(frame_size(codec, _packet_head(capture)))
            if codec in WITH_HIDDEN_FRAMES and is_hidden(_packet_head(capture)):
                continue
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        _check_sizes(path, [size for size in sizes if size])
        _check_count(path, times, count if is_counted else 0, capture.get(cv2.CAP_PROP_FPS))
        return np.array(times), np.array(keys, np.int64), count
    finally:
        capture.release()


def _packet_head(capture: cv2.VideoCapture) -> bytes:
    read, packet = capture.retrieve()
    return packet.reshape(-1)[:_HEAD_BYTES].tobytes() if read else b""


def _check_sizes(path: Path, sizes: list[tuple[int, int]]) -> None:
    for size in sizes:
        if size != sizes[0]:
            before, after = (f"{width} x {height}" for width, height in (sizes[0], size))
            raise DataError(f"{path}: its frames change from {before} to {after}; cut it into videos of one size each")


def _decode_times(path: Path, count: int | None = None) -> list[float]:
    """The times of the first `count` frames, or of all, as decoding from the start gives them."""
    capture, times = open_capture(str(path.absolute())), []
    if capture is None:
        raise DataError(f"{path}: none of its frames can be decoded: the file is damaged, or OpenCV lacks its codec")
    try:
        while len(times) != count and grab_frame(capture):
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        if not times:
            raise DataError(f"{path}: none of its frames can be decoded: the file is damaged, or OpenCV lacks its "
                            f"codec ({codec_name(capture)})")
        return times
    finally:
        capture.release()


def _check_count(path: Path, times: list[float], header_count: int, frames_per_s: float) -> None:
    if not times:
        raise DataError(f"{path}: holds a video stream without a frame")
    by_time = round(max(times) * frames_per_s / 1000) + 1   # dropped frames leave gaps in time
    found = max(len(times), by_time)
    if found < min(_LEAST_PART * header_count, header_count - LOST_AT_END):
        raise DataError(f"{path}: cut short or damaged: its header counts {header_count} frames, but it holds {found}")


def _check_decoded(path: Path, decoded: np.ndarray, packets: np.ndarray) -> None:
    lost = len(packets) - len(decoded)
    if lost > LOST_AT_END:
        raise DataError(f"{path}: damaged: of its {len(packets)} frames only {len(decoded)} can be decoded")
    if lost > 0 and decoded[0] > packets[0] and np.all(np.diff(decoded) > 0):
        raise DataError(f"{path}: damaged: its first frame cannot be decoded")
