"""A film or camera that is read once: its frames, the annotated film made of them, and how fast they went through."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from msnoah.data.video_capture import open_capture
from msnoah.data.video_file import open_stream
from msnoah.deploy.film import FilmWriter
from msnoah.errors import DataError

DEFAULT_RATE, HIGHEST_RATE = 25.0, 240.0   # frames/s of a film whose source has no rate, or none that can be meant


class Footage:
    """Frames in a block, `with footage: for time_s, frame in footage: ...`; the film is whole however it ends."""

    def __init__(self, source: str | int, output: Path | None = None):
        """Opens nothing yet.

        Args:
            source: a video file, an address, or the number of a camera.
            output: an .mp4 file for the annotated film; None for no film.

        Raises:
            DataError: the output is the source itself.
        """
        self.source, self.output = source, output
        if output and isinstance(source, str) and Path(source).exists() and output.exists() and output.samefile(source):
            raise DataError(f"{output}: is the source itself; give another --output")
        self.frames, self.seconds, self.cpu_seconds, self.source_rate = 0, 0.0, 0.0, None
        self._film: FilmWriter | None = None

    def __enter__(self) -> "Footage":
        """Opens source and film; DataError for a source that cannot be read, or a film that cannot be written."""
        with ExitStack() as stack:
            self._stream = stack.enter_context(closing(open_stream(self.source)))
            self.source_rate, total = _read_header(self.source)
            if self.output:
                self._film = stack.enter_context(FilmWriter(self.output, self.source_rate or DEFAULT_RATE))
            self._progress = stack.enter_context(tqdm(total=total, unit="frame", leave=False))
            self._opened = stack.pop_all()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._opened.__exit__(kind, error, traceback)

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """Seconds and frames, (H, W, 3) uint8 RGB; a frame counts once the next one is asked for."""
        wall, cpu = time.perf_counter(), time.process_time()
        for time_s, frame in self._stream:
            yield time_s, frame
            self.frames += 1
            self.seconds, self.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
            self._progress.update()

    @property
    def has_film(self) -> bool:
        """Whether what is drawn is seen."""
        return self.output is not None

    def write(self, frame: np.ndarray, time_s: float) -> None:
        """Adds an annotated frame to the film, if there is one."""
        if self._film:
            self._film.write(frame, time_s)

    def record(self) -> dict[str, Any]:
        """Source, film and number of frames, and how fast they went through, with decoding and drawing."""
        speed, cpu_speed = (self.frames / seconds if seconds else 0.0 for seconds in (self.seconds, self.cpu_seconds))
        return {
            "source": str(self.source), "film": str(self.output) if self.output and self.frames else None,
            "frames": self.frames, "frames_per_s": speed, "frames_per_cpu_s": cpu_speed,
            "source_frames_per_s": self.source_rate,
            "real_time_factor": speed / self.source_rate if self.source_rate else None,
        }

    def describe(self) -> list[str]:
        """How fast frames went through, and the film, as lines."""
        record = self.record()
        speeds = f"{record['frames_per_s']:.1f} frames/s, {record['frames_per_cpu_s']:.1f} a second of CPU time"
        lines = [f"{speeds}, with decoding and drawing"]
        if record["real_time_factor"]:
            rate = f"{record['source_frames_per_s']:.4g} frames/s"
            lines.append(f"{record['real_time_factor']:.2f} times the film's {rate}")
        return [*lines, *([record["film"]] if record["film"] else [])]


def _read_header(source: str | int) -> tuple[float | None, int | None]:
    """Frames per second and number of frames of a video file, None where its header has none that can be meant."""
    is_file = isinstance(source, str) and Path(source).is_file()
    capture = open_capture(str(Path(source).absolute())) if is_file else None
    if capture is None:
        return None, None
    try:
        rate, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return rate if 0 < rate <= HIGHEST_RATE else None, count if count > 0 else None
    finally:
        capture.release()
