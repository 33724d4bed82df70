"""Writing films frame by frame, so that they keep time and whatever ends the writing leaves a file that plays."""

import os
from pathlib import Path

import cv2
import numpy as np

from msnoah.data.video_capture import open_capture
from msnoah.errors import DataError

SUFFIX, CODEC = ".mp4", "mp4v"   # MPEG-4 part 2: the one codec that every build of OpenCV can write
LONGEST_GAP_S = 10.0             # between two frames; a longer one is a jump of the source's clock


class FilmWriter:
    """An .mp4 file of constant frame rate and even size, in place when the block ends, by an interrupt too."""

    def __init__(self, path: str | Path, frames_per_s: float):
        """Makes the folder; nothing else is written before the first frame.

        Raises:
            DataError: another suffix, or a folder that cannot be made.
        """
        self.path, self.frames_per_s = Path(path), frames_per_s
        if self.path.suffix != SUFFIX:
            raise DataError(f"{self.path}: expected a file that ends in {SUFFIX}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.path.parent}: cannot be made: {error.strerror}") from error
        # OpenCV takes the container from the suffix.
        self._temporary = self.path.with_name(f".{self.path.stem}.{os.getpid()}{SUFFIX}")
        self._writer: cv2.VideoWriter | None = None
        self._size, self._start_s, self.count = (0, 0), 0.0, 0

    def __enter__(self) -> "FilmWriter":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if self._writer is None:
            return
        self._writer.release()
        # An interrupt between writing and counting leaves one frame more.
        if self.count and _count_frames(self._temporary) >= self.count:
            os.replace(self._temporary, self.path)
            return
        self._temporary.unlink(missing_ok=True)
        if kind is None or not issubclass(kind, Exception):
            raise DataError(f"{self.path}: its {self.count} frames could not all be written; is the disk full?")

    def write(self, frame: np.ndarray, time_s: float) -> None:
        """Adds a frame, (H, W, 3) uint8 RGB, that is shown at a time; another size is scaled to that of the first.

        The film keeps the source's time: a late frame is repeated, one that comes too early is left out; a source of
        the film's own rate has each frame written once. An odd last row or column is cut.

        Raises:
            DataError: the file cannot be opened.
        """
        if self._writer is None:
            self._open(frame.shape[1], frame.shape[0])
            self._start_s = time_s
        copies = round((time_s - self._start_s) * self.frames_per_s) + 1 - self.count
        if copies > LONGEST_GAP_S * self.frames_per_s:
            self._start_s += (copies - 1) / self.frames_per_s
            copies = 1
        if frame.shape[1::-1] != self._size:
            frame = cv2.resize(frame, self._size)
        frame = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        for _ in range(copies):
            self._writer.write(frame)
            self.count += 1

    def _open(self, width: int, height: int) -> None:
        if min(width, height) < 2:
            raise DataError(f"{self.path}: frames of {width} x {height} make no film; the least is 2 x 2")
        self._size = width, height
        self._writer = cv2.VideoWriter(
            str(self._temporary), cv2.VideoWriter_fourcc(*CODEC), self.frames_per_s, self._size)
        if not self._writer.isOpened():
            rate = f"{self.frames_per_s:g} frames/s"
            raise DataError(f"{self.path}: a film of {width} x {height} at {rate} cannot be opened")


def _count_frames(path: Path) -> int:
    film = open_capture(str(path.absolute()))
    if film is None:
        return 0
    try:
        return int(film.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        film.release()
