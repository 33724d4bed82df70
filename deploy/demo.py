"""A film or camera through a classifier: windows as they come, an annotated film, and what it all cost."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msnoah.deploy.classifier import Classifier
from msnoah.deploy.cpu_times import describe_times, summarise_times
from msnoah.deploy.footage import Footage
from msnoah.deploy.overlay import Caption, draw_caption, drawable_names
from msnoah.deploy.streaming import StreamClassifier, Window


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
        self._classifier, self._stream, self._footage = classifier, stream, Footage(source, output)
        self._names = drawable_names(classifier.classes)
        self.windows: list[Window] = []

    @property
    def done(self) -> int:
        """Frames so far."""
        return self._footage.frames

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Classifies the source to its end and yields a record of each window.

        Raises:
            DataError: a source that cannot be read, or a film that cannot be written.
        """
        with self._footage:
            for time_s, frame in self._footage:
                yield from self._keep(self._stream.push(time_s, frame))
                if self._footage.has_film:
                    draw_caption(frame, self._caption())
                    self._footage.write(frame, time_s)
            yield from self._keep(short := self._stream.finish(time_s))
        if short and self._footage.has_film:
            self._show_again()

    def summary(self) -> dict[str, Any]:
        """Counts, shares of the labels, CPU milliseconds of a window, and how fast frames went through."""
        labels = Counter(self._classifier.classes[window.label] for window in self.windows)
        return {
            "artifact": str(self._classifier.path), **self._footage.record(),
            "windows": len(self.windows), "stride": self._stream.stride,
            "labels": {label: count / len(self.windows) for label, count in labels.most_common()},
            "cpu_ms": summarise_times([window.cpu_ms for window in self.windows]),
        }

    def line(self, record: dict[str, Any]) -> str:
        """A window's record as a line."""
        return f"{record['time_s']:9.2f} s  {record['probability']:6.1%}  {record['label']}"

    def totals(self) -> list[str]:
        """The summary as lines."""
        record = self.summary()
        shares = ", ".join(f"{label} {share:.0%}" for label, share in record["labels"].items())
        lines = [f"{record['frames']} frames, {record['windows']} windows: {shares or 'no label'}"]
        return lines + describe_times("a window", record["cpu_ms"]) + self._footage.describe()

    def _describe(self, window: Window) -> dict[str, Any]:
        """Smoothed label and probability, and those of the window alone."""
        alone = int(window.probabilities.argmax())
        return {
            "time_s": round(window.time_s, 3), "first_frame": window.first_frame, "last_frame": window.last_frame,
            "label": self._classifier.classes[window.label], "probability": float(window.smoothed[window.label]),
            "window_label": self._classifier.classes[alone], "window_probability": float(window.probabilities[alone]),
            "cpu_ms": round(window.cpu_ms, 3),
        }

    def _keep(self, window: Window | None) -> Iterator[dict[str, Any]]:
        if window is not None:
            self.windows.append(window)
            yield self._describe(window)

    def _caption(self) -> Caption:
        if self.windows:
            window = self.windows[-1]
            probability = float(window.smoothed[window.label])
            return Caption(self._names[window.label], f"{probability:.1%}", probability)
        span, seen = self._stream.clip.span, self._footage.frames + 1
        return Caption("first clip", f"{seen}/{span}", seen / span)

    def _show_again(self) -> None:
        """The film of a source shorter than a clip, whose label was known only at its end."""
        with Footage(self._footage.source, self._footage.output) as again:
            for time_s, frame in again:
                draw_caption(frame, self._caption())
                again.write(frame, time_s)
