"""OpenCV's reader of videos as every part uses it: silent, one thread a file, frames upright."""

import os
import stat
import time
from pathlib import Path

import cv2
import numpy as np

from msnoah.errors import DataError, describe_failure

_OPENCV_FATAL = 1   # log level, above files that cannot be opened; msnoah/__init__.py sets FFmpeg's own
_TIMEOUT_MS = 30_000   # for opening and for one frame of a network stream; a file on disk needs milliseconds
_DAMAGED_IN_A_ROW = 64   # packets, after which a stream counts as ended
_HEAD_BYTES = 4096
_TEXT_CONTROLS = {9, 10, 12, 13, 27}


def open_capture(source: str, raw: bool = False) -> cv2.VideoCapture | None:
    """An open video of a path or an address, or None. With `raw`, grab() reads packets without decoding.

    One FFmpeg thread: two cost 5 to 40 % more CPU time a frame, and the loader reads several files at once.
    """
    _silence()
    options = [cv2.CAP_PROP_N_THREADS, 1,
               cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS,
               cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS] + [cv2.CAP_PROP_FORMAT, -1] * raw
    capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, options)
    if not capture.isOpened():
        return None
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)   # as an option of opening, it is refused
    return capture


def open_camera(number: int) -> cv2.VideoCapture | None:
    """An open camera, 0 for the first, or None."""
    _silence()
    capture = cv2.VideoCapture(number)
    return capture if capture.isOpened() else None


def _silence() -> None:
    if "OPENCV_LOG_LEVEL" not in os.environ:   # a user's own setting wins
        cv2.setLogLevel(_OPENCV_FATAL)


def check_video_file(path: Path) -> None:
    """Refuses what OpenCV would hang on, or could not explain.

    Raises:
        DataError: nothing there, no regular file, no right to read it, no bytes, text (FFmpeg follows playlists to
            other files and hosts), or a name that is not UTF-8 (OpenCV crashes on it).
    """
    name = os.fsencode(path)
    if name.decode("utf-8", "ignore").encode() != name:
        raise DataError(f"{name!r}: its name is not in UTF-8, which OpenCV needs; rename it")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: is {_kind(mode)}, not a video file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not head:
        raise DataError(f"{path}: is empty (0 bytes)")
    if all(byte >= 32 or byte in _TEXT_CONTROLS for byte in head):
        raise DataError(f"{path}: holds no video but text that begins with {head[:20].decode('ascii', 'replace')!r}")


def grab_frame(capture: cv2.VideoCapture) -> bool:
    """Decodes the next frame that can be; False at the end. OpenCV says the same of the end and of a damaged packet."""
    end = time.monotonic() + _TIMEOUT_MS / 1000   # a stalled network stream takes its whole time-out for each
    return any(capture.grab() for _ in range(_DAMAGED_IN_A_ROW) if time.monotonic() < end)


def retrieve_rgb(capture: cv2.VideoCapture, name: str) -> np.ndarray:
    """The frame that was grabbed last, (H, W, 3) uint8 RGB.

    Raises:
        DataError: a frame that cannot be converted, or is too large for the memory.
    """
    try:
        converted, frame = capture.retrieve()
        if not converted:
            raise DataError(f"{name}: a frame cannot be converted to RGB")
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB if frame.ndim == 3 else cv2.COLOR_GRAY2RGB)
    except (cv2.error, MemoryError) as error:
        raise DataError(f"{name}: a frame cannot be converted to RGB: {describe_failure(error)}") from error


def codec_name(capture: cv2.VideoCapture) -> str:
    """The four letters that name a video's codec, as in `h264`."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    return "".join(chr(byte) if 32 < byte < 127 else "?" for byte in code.to_bytes(4, "little"))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
             stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "no regular file")
