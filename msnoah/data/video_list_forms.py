"""The forms in which data sets publish lists of videos: read into entries of a path and a label."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from msnoah.data.text_file import read_text
from msnoah.errors import DataError

Split = Literal["train", "val"]

_HMDB_VALUE = re.compile(r"(?P<folder>.+):(?P<number>[0-9]+)")
_HMDB_USES = {"train": "1", "val": "2"}   # 0: in neither
_KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_KINETICS_SUFFIXES = (".mp4", ".mkv", ".webm")
_UCF_CLASSES = "classInd.txt"
_EXPECTED = "'<path> <label>' with a whole number as label"


@dataclass(frozen=True)
class Entry:
    """One line of a list."""

    place: str           # "train.txt:12"
    path: str            # relative to data.path
    label: int | str     # a number from 0, or the name of a class
    total: int | None = None


@dataclass(frozen=True)
class VideoList:
    """The entries of a list; `classes` is empty where the form does not name them."""

    name: str
    folder: Path
    entries: list[Entry]
    classes: tuple[str, ...] = ()
    places: Callable[[Entry], list[str]] = lambda entry: [entry.path]   # where the form lets an entry lie


def read_video_list(value: str, root: Path | None, split: Split) -> VideoList:
    """A list of video files; the form is told by the content.

    - `relative/path.mp4 7`: the label is the last word and counts from 0, the path may hold spaces.
    - Kinetics' own csv, with columns label, youtube_id, time_start and time_end: files <id>_<start>_<end>.mp4 (or .mkv,
      .webm; six digits each), in folders of classes, of splits, of both or of neither.
    - `Class/video.avi 1` or `Class/video.avi` with classInd.txt beside the list: UCF101; labels count from 1.
    - `folder:1`, where the folder holds <class>_test_split1.txt files: HMDB51; the train split takes the videos marked
      1, the val split those marked 2; they lie in folders of classes or in none.

    Raises:
        DataError: no such list, an empty one, or a line of another form, with its number.
    """
    match = _HMDB_VALUE.fullmatch(value)
    if match and (folder := _find(match["folder"], root)).is_dir():
        return _read_hmdb(folder, match["number"], split)
    path = _find(value, root)
    lines = _read_lines(path)
    if "youtube_id" in lines[0][1].lower():
        return _read_kinetics(path)
    if (path.parent / _UCF_CLASSES).is_file():
        return _read_ucf(path, lines)
    entries = [_plain_entry(f"{path}:{number}", line) for number, line in lines]
    return VideoList(str(path), path.parent, entries)


def read_frame_list(value: str, root: Path | None, split: Split) -> VideoList:
    """A list of frame folders: `folder total_frames label` in each line, or `folder label` in each line.

    Raises:
        DataError: no such list, an empty one, or a line of another form, with its number.
    """
    path = _find(value, root)
    lines = _read_lines(path)
    has_totals = all(re.fullmatch(r".*\S\s+\d+\s+\S+", line) for _, line in lines)
    entries = []
    for number, line in lines:
        entry = _plain_entry(f"{path}:{number}", line, "'<folder> <total_frames> <label>' or '<folder> <label>'")
        if has_totals:
            folder, total = entry.path.rsplit(None, 1)
            entry = Entry(entry.place, folder, entry.label, int(total))
        entries.append(entry)
    return VideoList(str(path), path.parent, entries)


def read_class_names(path: Path) -> tuple[str, ...]:
    """One name a line, in the order of the labels; empty if there is no such file."""
    return tuple(line for _, line in _read_lines(path)) if path.is_file() else ()


def _find(value: str, root: Path | None) -> Path:
    """A list lies where its name says, seen from here or from data.path."""
    places = [Path(value)] + ([root / value] if root else [])
    return next((path for path in places if path.exists()), places[0])


def _read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines that hold something, numbered from 1."""
    text = read_text(path, "expected a list of videos")
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: is empty; expected one line for each video")
    return lines


def _plain_entry(place: str, line: str, expected: str = _EXPECTED) -> Entry:
    path, _, label = line.replace("\t", " ").rpartition(" ")
    if not path.strip() or not label.isdecimal():
        raise DataError(f"{place}: expected {expected}, found {line[:80]!r}")
    return Entry(place, path.strip(), int(label))


def _read_ucf(path: Path, lines: list[tuple[int, str]]) -> VideoList:
    index = path.parent / _UCF_CLASSES
    names = []
    for number, line in _read_lines(index):
        words = line.split(None, 1)
        if len(words) != 2 or words[0] != str(len(names) + 1):
            raise DataError(f"{index}:{number}: expected '{len(names) + 1} <class>', found {line[:80]!r}")
        names.append(words[1])
    entries = [_ucf_entry(f"{path}:{number}", line, names) for number, line in lines]
    return VideoList(str(path), path.parent, entries, tuple(names))


def _ucf_entry(place: str, line: str, names: list[str]) -> Entry:
    if not line.rpartition(" ")[2].isdecimal():
        folder = Path(line).parent.name   # test lists have no labels
        if not folder:
            raise DataError(f"{place}: expected '<class>/<video>' or '<class>/<video> <label>', found {line[:80]!r}")
        return Entry(place, line, folder)
    entry = _plain_entry(place, line)
    if not 1 <= entry.label <= len(names):
        raise DataError(f"{place}: label {entry.label}; {_UCF_CLASSES} beside it has 1 to {len(names)}")
    return Entry(place, entry.path, names[entry.label - 1])


def _read_hmdb(folder: Path, number: str, split: Split) -> VideoList:
    ending = f"_test_split{number}.txt"
    files = sorted(folder.glob(f"*{ending}"))
    if not files:
        raise DataError(f"{folder}: holds no files <class>{ending}; splits of HMDB51 have the numbers 1 to 3")
    classes, entries = [], []
    for path in files:
        classes.append(path.name.removesuffix(ending))
        for line_number, line in _read_lines(path):
            name, _, use = line.rpartition(" ")
            if use not in ("0", "1", "2") or not name.strip():
                raise DataError(f"{path}:{line_number}: expected '<video> 0', 1 or 2, found {line[:80]!r}")
            if use == _HMDB_USES[split]:
                entries.append(Entry(f"{path}:{line_number}", f"{classes[-1]}/{name.strip()}", classes[-1]))
    if not entries:
        raise DataError(f"{folder}: none of its files {ending} marks a video with {_HMDB_USES[split]}")
    return VideoList(f"{folder}:{number}", folder, entries, tuple(classes), _hmdb_places)


def _hmdb_places(entry: Entry) -> list[str]:
    return [entry.path, Path(entry.path).name]


def _read_kinetics(path: Path) -> VideoList:
    rows = csv.DictReader(io.StringIO(read_text(path, "expected a list of videos")))
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames]
    missing = [name for name in _KINETICS_COLUMNS if name not in rows.fieldnames]
    if missing:
        raise DataError(f"{path}:1: has no column '{missing[0]}'; expected {', '.join(_KINETICS_COLUMNS)}")
    entries, splits = [], set()
    try:
        for row in rows:
            entries.append(_kinetics_entry(f"{path}:{rows.line_num}", row))
            splits.add(row.get("split") or "")
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: is no csv: {error}") from error
    if not entries:
        raise DataError(f"{path}: has a header but no videos")
    return VideoList(str(path), path.parent, entries, places=partial(_kinetics_places, splits=sorted(splits - {""})))


def _kinetics_entry(place: str, row: dict[str, str | None]) -> Entry:
    label, identity, *seconds = (row[name] or "" for name in _KINETICS_COLUMNS)
    try:
        start, end = (int(float(second)) for second in seconds)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{place}: time_start, time_end are {seconds}; expected two numbers of seconds") from error
    if not label.strip() or not identity.strip():
        raise DataError(f"{place}: label is {label!r}, youtube_id is {identity!r}; expected both")
    return Entry(place, f"{label.strip()}/{identity.strip()}_{start:06d}_{end:06d}.mp4", label.strip())


def _kinetics_places(entry: Entry, splits: list[str]) -> list[str]:
    file = Path(entry.path).name
    folders = dict.fromkeys((f"{entry.label}/", f"{entry.label.replace(' ', '_')}/", ""))
    return [f"{split}{folder}{Path(file).stem}{suffix}" for suffix in _KINETICS_SUFFIXES
            for split in ("", *(f"{name}/" for name in splits)) for folder in folders]
