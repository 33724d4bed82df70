"""A film or camera through a classifier: windows as they come, an annotated film, and what it all cost."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from msnoah.data.video_capture import open_capture
from msnoah.data.video_file import open_stream
from msnoah.deploy.classifier import Classifier
from msnoah.deploy.film import FilmWriter
from msnoah.deploy.overlay import Caption, draw_caption, drawable_names
from msnoah.deploy.statistics import percentile
from msnoah.deploy.streaming import StreamClassifier, Window
from msnoah.errors import DataError

DEFAULT_RATE, HIGHEST_RATE = 25.0, 240.0   # frames/s of a film whose source has no rate, or none that can be meant


class Demo:
    """One run over a source. Iterating it does the work; `summary` tells of what was done so far."""

    def __init__(self, source: str | int, classifier: Classifier, stream: StreamClassifier, output: Path | None = None):
        """Opens nothing yet.

        Args:
            source: a video file, an address, or the number of a camera.
            classifier, stream: the latter over the former.
            output: an .mp4 file for the annotated film; None for no film.

        Raises:
            DataError: the output is the source itself.
        """
        self._source, self._classifier, self._stream, self._output = source, classifier, stream, output
        if output and isinstance(source, str) and Path(source).exists() and output.exists() and output.samefile(source):
            raise DataError(f"{output}: is the source itself; give another --output")
        self._names = drawable_names(classifier.classes)
        self.windows: list[Window] = []
        self.frames, self.seconds, self.cpu_seconds, self.source_rate = 0, 0.0, 0.0, None

    def __iter__(self) -> Iterator[Window]:
        """Classifies the source to its end and yields each window; however that ends, the film is whole up to there.

        Raises:
            DataError: a source that cannot be read, or a film that cannot be written.
        """
        frames = open_stream(self._source)
        self.source_rate, total = _read_header(self._source)
        wall, cpu = time.perf_counter(), time.process_time()
        with closing(frames), self._open_film() as film, tqdm(total=total, unit="frame", leave=False) as progress:
            for time_s, frame in frames:
                yield from self._keep(self._stream.push(time_s, frame))
                self.frames += 1
                self._show(film, frame, time_s)
                self.seconds, self.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
                progress.update()
            yield from self._keep(short := self._stream.finish(time_s))
        if short and film:
            self._show_again()

    def summary(self) -> dict[str, Any]:
        """Counts, shares of the labels, CPU milliseconds of a window, and how fast frames went through."""
        labels = Counter(self._classifier.classes[window.label] for window in self.windows)
        times = [window.cpu_ms for window in self.windows]
        speed, cpu_speed = (self.frames / seconds if seconds else 0.0 for seconds in (self.seconds, self.cpu_seconds))
        return {
            "source": str(self._source), "artifact": str(self._classifier.path),
            "film": str(self._output) if self._output and self.frames else None,
            "frames": self.frames, "windows": len(self.windows), "stride": self._stream.stride,
            "labels": {label: count / len(self.windows) for label, count in labels.most_common()},
            "cpu_ms": {f"p{q}": percentile(times, q) for q in (50, 90)} if times else None,
            "frames_per_s": speed, "frames_per_cpu_s": cpu_speed, "source_frames_per_s": self.source_rate,
            "real_time_factor": speed / self.source_rate if self.source_rate else None,
        }

    def describe(self, window: Window) -> dict[str, Any]:
        """A window as a record: smoothed label and probability, and those of the window alone."""
        alone = int(window.probabilities.argmax())
        return {
            "time_s": round(window.time_s, 3), "first_frame": window.first_frame, "last_frame": window.last_frame,
            "label": self._classifier.classes[window.label], "probability": float(window.smoothed[window.label]),
            "window_label": self._classifier.classes[alone], "window_probability": float(window.probabilities[alone]),
            "cpu_ms": round(window.cpu_ms, 3),
        }

    def _keep(self, window: Window | None) -> Iterator[Window]:
        if window is not None:
            self.windows.append(window)
            yield window

    def _open_film(self):
        return FilmWriter(self._output, self.source_rate or DEFAULT_RATE) if self._output else nullcontext()

    def _show(self, film: FilmWriter | None, frame: np.ndarray, time_s: float) -> None:
        if film:
            draw_caption(frame, self._caption())
            film.write(frame, time_s)

    def _caption(self) -> Caption:
        if self.windows:
            window = self.windows[-1]
            probability = float(window.smoothed[window.label])
            return Caption(self._names[window.label], f"{probability:.1%}", probability)
        span = self._stream.clip.span
        return Caption("first clip", f"{self.frames}/{span}", self.frames / span)

    def _show_again(self) -> None:
        """The film of a source shorter than a clip, whose label was known only at its end."""
        with closing(open_stream(self._source)) as frames, self._open_film() as film:
            for time_s, frame in frames:
                self._show(film, frame, time_s)


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
