"""Images and films through a segmentation model: their overlays, the classes in them, and what it all cost."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from msnoah.data.image_folder import image_files, is_image, read_image
from msnoah.data.views import naming_failures
from msnoah.deploy.cpu_times import describe_times, summarise_times
from msnoah.deploy.footage import Footage
from msnoah.deploy.picture_file import SUFFIX, write_picture
from msnoah.deploy.segmentation_overlay import draw_beside, draw_labelled, resize_labels
from msnoah.deploy.segmenter import Segmenter
from msnoah.errors import DataError

Record = dict[str, Any]
MOST_SHOWN = 6   # classes of an image in a line


class TimedSegmenter:
    """Label maps, the CPU time of each from pixels to labels, and the mean shares of classes."""

    def __init__(self, segmenter: Segmenter):
        self.segmenter, self.times_ms = segmenter, []
        self._shares: Counter[str] = Counter()

    def label(self, image: np.ndarray) -> tuple[np.ndarray, Record]:
        """(H, W, 1 or 3) uint8 -> (H, W) labels, and a record of the classes' shares of the pixels and the time."""
        started = self.segmenter.cpu_clock()
        label_map = self.segmenter.label_map(image)
        self.times_ms.append((self.segmenter.cpu_clock() - started) / 1e6)   # ns -> ms
        shares = class_shares(label_map, self.segmenter.classes)
        self._shares.update(shares)
        return label_map, {"shares": shares, "cpu_ms": round(self.times_ms[-1], 3)}

    def summary(self) -> Record:
        """The artifact, the classes' shares of all images, the largest first, and CPU milliseconds of an image."""
        shares = {name: share / len(self.times_ms) for name, share in self._shares.most_common()}
        return {"artifact": str(self.segmenter.path), "shares": shares, "cpu_ms": summarise_times(self.times_ms)}


class PictureDemo:
    """One run over an image, or all images of a folder. Iterating it does the work."""

    def __init__(self, source: Path, segmenter: Segmenter, output: Path | None = None):
        """Draws nothing yet.

        Args:
            source: an image file, or a folder with images in it.
            segmenter: labels them.
            output: a folder for the pictures, of one image also an .png file; None for no pictures.

        Raises:
            DataError: a folder without images, or an output that is the source, or cannot hold pictures.
        """
        self._source, self._timed = source, TimedSegmenter(segmenter)
        self._paths = image_files(source) if source.is_dir() else [source]
        if not self._paths:
            raise DataError(f"{source}: holds no images")
        self._targets = _name_pictures(self._paths, source, output) if output else {}
        self.done, self.unreadable = 0, 0   # images so far

    def __iter__(self) -> Iterator[Record]:
        """Labels and draws each image, and yields its record; of one in a folder that cannot be read, the error.

        Raises:
            DataError: not a single image can be read.
            RunFolderError: a picture cannot be written.
        """
        for path in tqdm(self._paths, unit="image", leave=False, disable=len(self._paths) == 1):
            try:
                image = read_image(path, self._timed.segmenter.data.channels)
                with naming_failures(f"{path}: an image of {image.shape[1]} x {image.shape[0]}"):
                    label_map, answer = self._timed.label(image)
            except DataError as error:
                if len(self._paths) == 1:
                    raise
                self.unreadable += 1
                yield {"image": str(path), "error": str(error)}
                continue
            record = {"image": str(path), **answer, "picture": self._draw(path, image, label_map)}
            self.done += 1
            yield record
        if not self.done:
            raise DataError(f"{self._source}: none of its {self.unreadable} images can be read")

    def summary(self) -> Record:
        """Counts, shares of the classes, and CPU milliseconds of an image."""
        counts = {"images": self.done, "unreadable": self.unreadable}
        return {"source": str(self._source), **counts, **self._timed.summary()}

    def line(self, record: Record) -> str:
        """An image's record as a line."""
        return f"{Path(record['image']).name}  {list_shares(record['shares'])}"

    def totals(self) -> list[str]:
        """The summary as lines."""
        record, targets = self.summary(), list(self._targets.values())
        lost = f", {self.unreadable} more cannot be read" if self.unreadable else ""
        counts = [f"{self.done} images{lost}: {list_shares(record['shares'])}"] if len(self._paths) > 1 else []
        shown = [str(target if len(targets) == 1 else target.parent) for target in targets[:1]]
        return counts + describe_times("an image", record["cpu_ms"]) + shown

    def _draw(self, path: Path, image: np.ndarray, label_map: np.ndarray) -> str | None:
        if path not in self._targets:
            return None
        segmenter, target = self._timed.segmenter, self._targets[path]
        labelled = draw_labelled(image, label_map, segmenter.palette, segmenter.classes)
        write_picture(target, draw_beside(image, labelled))
        return str(target)


class FilmDemo:
    """One run over a film or camera. Iterating it does the work."""

    def __init__(self, source: str | int, segmenter: Segmenter, output: Path | None = None, stride: int | None = None):
        """Opens nothing yet.

        Args:
            source: a video file, an address, or the number of a camera.
            segmenter: labels every `stride`-th frame (all if None); its labels are shown until the next ones.
            output: an .mp4 file for the annotated film; None for no film.

        Raises:
            DataError: the output is the source itself, or a stride below 1.
        """
        self._stride = 1 if stride is None else stride
        if self._stride < 1:
            raise DataError(f"stride {stride}: expected at least 1")
        self._timed, self._footage = TimedSegmenter(segmenter), Footage(source, output)

    @property
    def done(self) -> int:
        """Frames so far."""
        return self._footage.frames

    def __iter__(self) -> Iterator[Record]:
        """Labels the source to its end and yields a record of each frame that was labelled.

        Raises:
            DataError: a source that cannot be read, or a film that cannot be written.
        """
        segmenter, label_map = self._timed.segmenter, None
        with self._footage:
            for time_s, frame in self._footage:
                if self.done % self._stride == 0:
                    with naming_failures(f"{self._footage.source}: frame {self.done}"):
                        label_map, answer = self._timed.label(frame)
                    yield {"time_s": round(time_s, 3), "frame": self.done, **answer}
                if self._footage.has_film:
                    shown = resize_labels(label_map, *frame.shape[:2])   # of an earlier frame, perhaps of another size
                    self._footage.write(draw_labelled(frame, shown, segmenter.palette, segmenter.classes), time_s)

    def summary(self) -> Record:
        """Counts, shares of the classes, CPU milliseconds of a frame, and how fast frames went through."""
        labelled = len(self._timed.times_ms)
        return {**self._footage.record(), "labelled": labelled, "stride": self._stride, **self._timed.summary()}

    def line(self, record: Record) -> str:
        """A frame's record as a line."""
        return f"{record['time_s']:9.2f} s  {list_shares(record['shares'])}"

    def totals(self) -> list[str]:
        """The summary as lines."""
        record = self.summary()
        lines = [f"{self.done} frames, {record['labelled']} labelled: {list_shares(record['shares'])}"]
        return lines + describe_times("a frame", record["cpu_ms"]) + self._footage.describe()


def class_shares(label_map: np.ndarray, classes: list[str]) -> dict[str, float]:
    """The classes of a label map by name, each with its share of the pixels (0-1), the largest first."""
    counts: Counter[str] = Counter()
    for number, count in enumerate(np.bincount(label_map.ravel(), minlength=len(classes))[:len(classes)].tolist()):
        counts[classes[number]] += count
    return {name: count / label_map.size for name, count in counts.most_common() if count}


def list_shares(shares: dict[str, float]) -> str:
    """Shares of classes on one line, the largest first; few classes at most."""
    shown = [f"{name} {share:.1%}" for name, share in list(shares.items())[:MOST_SHOWN]]
    rest = len(shares) - len(shown)
    return ", ".join(shown + [f"{rest} more"] * bool(rest)) or "no class"


def is_picture(source: str | int) -> bool:
    """Whether a source is an image or a folder of them, rather than a film, camera or address."""
    return isinstance(source, str) and "://" not in source and (Path(source).is_dir() or is_image(Path(source)))


def _name_pictures(paths: list[Path], source: Path, output: Path) -> dict[Path, Path]:
    """Where each image's picture goes: by its stem, or by its name where two images share the stem."""
    if source.is_file() and output.suffix and not output.is_dir():
        if output.suffix != SUFFIX:
            raise DataError(f"{output}: expected a folder, or a file that ends in {SUFFIX}")
        targets = {source: output}
    else:
        stems = Counter(path.stem for path in paths)
        targets = {path: output / f"{path.stem if stems[path.stem] == 1 else path.name}{SUFFIX}" for path in paths}
    overwritten = next((path for path in targets.values() if path.exists() and path.resolve() in
                        {image.resolve() for image in paths}), None)
    if overwritten:
        raise DataError(f"{overwritten}: is one of the images themselves; give another --output")
    return targets

