"""Sources of videos that a list file names: files (data.source: video_list) and folders of frames (frame_list)."""

import difflib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.frame_folder import FrameFolder
from msnoah.data.sources import Video
from msnoah.data.video_file import VideoFile
from msnoah.data.video_list_forms import Entry, Split, VideoList, read_class_names, read_frame_list, read_video_list
from msnoah.errors import DataError

_LOG = logging.getLogger(__name__)
_LOOKED_FOR = 20   # videos at the head of a list; if not one is there, data.path is wrong
_MOST_CLASSES = 100_000
_CLASS_NAMES = "classes.txt"


class ListedVideos:
    """The videos of one list, opened when asked for; what cannot be opened is told with its line of the list."""

    def __init__(self, listing: VideoList, folder: Path, classes: list[str],
                 open_entry: Callable[[Path, int | None], Video]):
        """Takes a list whose paths start at `folder`; DataError for a label that is none of the classes."""
        self._listing, self._folder, self._open_entry = listing, folder, open_entry
        self._entries = _without_repeats(listing)
        numbers = {name: number for number, name in enumerate(classes)}
        self.classes = classes
        self.labels = np.array([_label_number(entry, numbers) for entry in self._entries], np.int32)
        self._found: dict[int, Path] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def video(self, index: int) -> Video:
        """One video, opened; DataError names list, line, path and what is wrong with it."""
        entry = self._entries[index]
        try:
            return self._open_entry(self.path(index), entry.total)
        except DataError as error:
            raise DataError(f"{entry.place}: {error}") from error

    def path(self, index: int) -> Path:
        """Where a video lies: of the places that its form of list allows the first that exists, else the first."""
        if index not in self._found:
            places = [self._folder / path for path in self._listing.places(self._entries[index])]
            self._found[index] = next((place for place in places if place.exists()), places[0])
        return self._found[index]

    def name(self, index: int) -> str:
        """The video's path."""
        return str(self.path(index))


def open_video_list(data: DataConfig, split: Split) -> ListedVideos:
    """A split of video files: data.train_list or data.val_list names the list, data.path is where its paths start.

    The lists of Kinetics, HMDB51 and UCF101 are known as published (see `read_video_list`); without data.path, paths
    start at the folder of the list. Classes and their order are data.classes if given, else those that the form or a
    classes.txt beside the training list names, else the folders of its videos, else numbers. Repeated lines count once.

    Raises:
        DataError: a list that is missing, empty or malformed (with its line), a label beyond the classes, one video
            with two labels, or none of the first 20 videos where data.path says.
    """
    return _open_list(data, split, read_video_list, lambda path, total: VideoFile(path))


def open_frame_list(data: DataConfig, split: Split) -> ListedVideos:
    """A split of frame folders, as `open_video_list`; lines are `folder total_frames label` or `folder label`.

    Raises:
        DataError: as `open_video_list`.
    """
    return _open_list(data, split, read_frame_list, FrameFolder)


def _open_list(data: DataConfig, split: Split, read: Callable, open_entry: Callable) -> ListedVideos:
    value = data.train_list if split == "train" else data.val_list
    if not value:
        raise DataError(f"data.{split}_list is not set; {data.source} needs the list of the videos of this split")
    root = Path(data.path) if data.path else None
    own = read(value, root, split)
    reference = own if split == "train" or not data.train_list else read(data.train_list, root, "train")
    classes = list(data.classes) or _class_names(reference)
    if len(set(classes)) < len(classes):
        raise DataError(f"{reference.name}: two of its {len(classes)} classes have one name; data.classes gives others")
    videos = ListedVideos(own, root or own.folder, classes, open_entry)
    _check_folder(videos, own.name, root or own.folder)
    return videos


def _class_names(reference: VideoList) -> list[str]:
    names = reference.classes or read_class_names(reference.folder / _CLASS_NAMES)
    if names:
        return list(names)
    labels = {entry.label for entry in reference.entries}
    if isinstance(reference.entries[0].label, str):
        return sorted(labels)
    if max(labels) >= _MOST_CLASSES:
        raise DataError(f"{reference.name}: has label {max(labels)}; expected 0 to {_MOST_CLASSES - 1}")
    folders = _folder_names(reference.entries)
    return [folders.get(label, str(label)) for label in range(max(labels) + 1)]


def _folder_names(entries: list[Entry]) -> dict[int, str]:
    """Label -> folder, if each label has one folder and each folder one label; else nothing."""
    pairs = {(entry.label, Path(entry.path).parent.name) for entry in entries}
    folders = dict(pairs)
    return folders if "" not in folders.values() and len(pairs) == len(folders) == len(set(folders.values())) else {}


def _label_number(entry: Entry, numbers: dict[str, int]) -> int:
    if isinstance(entry.label, int):
        if entry.label >= len(numbers):
            raise DataError(f"{entry.place}: label {entry.label}, but the classes are 0 to {len(numbers) - 1}")
        return entry.label
    if entry.label not in numbers:
        near = difflib.get_close_matches(entry.label, numbers, 1)
        raise DataError(f"{entry.place}: class '{entry.label}' is none of the {len(numbers)} classes"
                        + (f"; the nearest is '{near[0]}'" if near else ""))
    return numbers[entry.label]


def _without_repeats(listing: VideoList) -> list[Entry]:
    first: dict[str, Entry] = {}
    for entry in listing.entries:
        known = first.setdefault(entry.path, entry)
        if known.label != entry.label:
            raise DataError(f"{entry.place}: {entry.path} has label {entry.label}, but {known.label} at {known.place}")
    repeated = len(listing.entries) - len(first)
    if repeated:
        _LOG.warning("%s: %d of its lines are repeated; each video counts once", listing.name, repeated)
    return list(first.values())


def _check_folder(videos: ListedVideos, name: str, folder: Path) -> None:
    if not any(videos.path(index).exists() for index in range(min(_LOOKED_FOR, len(videos)))):
        looked = f"first {_LOOKED_FOR} videos" if len(videos) > _LOOKED_FOR else f"{len(videos)} videos"
        raise DataError(f"{name}: none of its {looked} is there, as {videos.path(0)}; is data.path ({folder}) right?")
