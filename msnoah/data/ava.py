"""AVA's annotations and person boxes (Gu et al., CVPR 2018, https://arxiv.org/abs/1705.08421), versions 2.1 and 2.2.

A key frame is a second of a film; each of its boxes holds a person and shows some of 80 actions, numbered from 1.
"""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msnoah.data.text_file import read_text
from msnoah.errors import DataError
from msnoah.pickled_arrays import load_arrays
from msnoah.restricted_pickle import PickleFault

CLASSES = 80
FRAMES_PER_S = 30      # of the films as everybody cuts them
FIRST_SECOND = 900     # of a film, the first that is annotated is 902
_SLACK = 0.01          # by which coordinates may leave the image
_MOST_SECONDS = 36_000
_EXPECTED = "expected a text file of AVA"
_ITEM = re.compile(r"\b(?:item|label)\s*\{(.*?)\}", re.DOTALL)
_ITEM_NAME = re.compile(r"""\bname\s*:\s*(["'])(.*?)\1""")
_ITEM_NUMBER = re.compile(r"\b(?:label_)?id\s*:\s*([0-9]+)")

Place = tuple[str, int]
"""A film's name and a second of it."""


@dataclass(frozen=True)
class KeyFrame:
    """What is seen in one second of a film."""

    video: str
    second: int
    boxes: np.ndarray    # (N, 4) float32: x1, y1, x2, y2 as parts of width and height
    labels: np.ndarray   # (N, 81) float32 of 0 and 1; column 0 stands for nothing and is 0
    persons: np.ndarray  # (N,) int64, -1 where none is named

    @property
    def place(self) -> Place:
        """The film's name and the second."""
        return self.video, self.second


def read_annotations(path: str | Path, excluded: Iterable[Place] = (), classes: int = CLASSES) -> list[KeyFrame]:
    """The key frames of ava_train_v2.2.csv and its like, by film and second; rows of one box and person are one box.

    Args:
        path: lines of video_id,second,x1,y1,x2,y2,action_id,person_id without a header; version 1 has no person_id. A
            line without box and action says that nobody does anything in that second, and is left out.
        excluded: as `read_excluded` gives them; they are left out.

    Raises:
        DataError: a file that cannot be read or has no boxes, or a line of another form, with its number.
    """
    left_out = set(excluded)
    frames: dict[Place, dict[tuple, list[int]]] = {}
    for where, row in _read_rows(Path(path), (7, 8)):
        place = row[0], _second(where, row[1])
        if place in left_out or not any(row[2:7]):
            continue
        box, person = _box(where, row[2:6]), _whole(where, "person_id", row[7]) if row[7:] and row[7] else -1
        action = _whole(where, "action_id", row[6])
        if not 1 <= action <= classes:
            raise DataError(f"{where}: action_id {action}; expected 1 to {classes}")
        frames.setdefault(place, {}).setdefault((person, *box), []).append(action)
    if not frames:
        raise DataError(f"{path}: holds no boxes; expected lines of video_id,second,x1,y1,x2,y2,action_id,person_id")
    return [_key_frame(place, frames[place], classes) for place in sorted(frames)]


def read_excluded(path: str | Path) -> set[Place]:
    """Films and seconds of ava_val_excluded_timestamps_v2.2.csv and its like: lines of video_id,second.

    Raises:
        DataError: a file that cannot be read, or a line of another form, with its number.
    """
    return {(row[0], _second(where, row[1])) for where, row in _read_rows(Path(path), (2,))}


def read_action_list(path: str | Path) -> dict[int, str]:
    """Number -> name of ava_action_list_v2.2.pbtxt and its like; 60 of the 80 in the lists for evaluation.

    Raises:
        DataError: a file that cannot be read or holds no `item { name: "..." id: 1 }`, or an item without one of these.
    """
    actions: dict[int, str] = {}
    for item in _ITEM.findall(read_text(Path(path), _EXPECTED)):
        name, number = _ITEM_NAME.search(item), _ITEM_NUMBER.search(item)
        if not name or not number or int(number[1]) in actions:
            found = " ".join(item.split())[:80]
            raise DataError(f"{path}: expected a name and an id of its own in each item, found {found!r}")
        actions[int(number[1])] = name[2]
    if not actions:
        raise DataError(f'{path}: holds no actions; expected item {{ name: "..." id: 1 }} for each')
    return actions


def read_proposals(path: str | Path) -> dict[Place, np.ndarray]:
    """Boxes of persons that a detector found, by film and second: (N, 5) float32 of x1, y1, x2, y2 and score.

    The form is told by the suffix. `.pkl`, as the dense proposals of FAIR are published: a dictionary of arrays under
    "film,0902", read without running what it names; `.npz`: the same arrays under the same keys; `.json`: lists instead
    of arrays; `.csv`: lines of video_id,second,x1,y1,x2,y2,score. Where scores are missing they are 1.

    Raises:
        DataError: a file that cannot be read or is of another form, or a box that is none.
    """
    path = Path(path)
    readers = {".csv": _csv_proposals, ".json": _json_proposals, ".npz": _npz_proposals, ".pkl": _pickled_proposals}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: unknown form of proposals; known suffixes: {' '.join(readers)}")
    proposals = dict(readers[path.suffix.lower()](path))
    if not proposals:
        raise DataError(f"{path}: holds no proposals")
    return proposals


def clip_indices(second: int, total: int, frames: int = 16, interval: int = 4, *, frames_per_s: float = FRAMES_PER_S,
                 first_second: int = FIRST_SECOND) -> np.ndarray:
    """Numbers from 0 of the frames around a key frame, (frames,) int64: every `interval`-th, that one at frames // 2.

    Args:
        total: frames of the video, which starts at `first_second`. Numbers outside it become its first or last.

    Raises:
        DataError: a second that the video does not have.
    """
    centre = round((second - first_second) * frames_per_s)
    if not 0 <= centre < total:
        raise DataError(f"second {second} is frame {centre}, but the video has {total} from second {first_second} on")
    return np.clip(centre + (np.arange(frames) - frames // 2) * interval, 0, total - 1)   # (frames,)


def _key_frame(place: Place, actions: Mapping[tuple, list[int]], classes: int) -> KeyFrame:
    labels = np.zeros((len(actions), classes + 1), np.float32)
    for row, numbers in enumerate(actions.values()):
        labels[row, numbers] = 1
    boxes = np.array([key[1:] for key in actions], np.float32)
    return KeyFrame(*place, boxes, labels, np.array([key[0] for key in actions], np.int64))


def _read_rows(path: Path, columns: tuple[int, ...]) -> Iterator[tuple[str, list[str]]]:
    rows = csv.reader(io.StringIO(read_text(path, _EXPECTED)))
    try:
        for row in rows:
            where = f"{path}:{rows.line_num}"
            if row and len(row) not in columns:
                raise DataError(f"{where}: has {len(row)} columns; expected {' or '.join(map(str, columns))}")
            if row:
                yield where, [word.strip() for word in row]
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: is no csv: {error}") from error


def _whole(where: str, what: str, word: str) -> int:
    if not word.isdecimal():
        raise DataError(f"{where}: {what} is {word!r}; expected a whole number")
    return int(word)


def _second(where: str, word: str) -> int:
    second = _whole(where, "second", word)
    if second > _MOST_SECONDS:
        raise DataError(f"{where}: second is {second}; expected 0 to {_MOST_SECONDS}")
    return second


def _box(where: str, words: list) -> tuple[float, ...]:
    try:
        box = tuple(map(float, words))
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: a box of {words}; expected four numbers") from error
    _check_boxes(where, np.array([box]))
    return box


def _check_boxes(where: str, boxes: np.ndarray) -> None:
    x1, y1, x2, y2 = boxes[:, :4].T
    is_box = (x1 >= -_SLACK) & (y1 >= -_SLACK) & (x2 <= 1 + _SLACK) & (y2 <= 1 + _SLACK) & (x1 <= x2) & (y1 <= y2)
    is_box &= np.isfinite(boxes).all(1)
    if not is_box.all():
        wrong = boxes[~is_box][0].round(4).tolist()
        raise DataError(f"{where}: a box of {wrong}; expected x1 <= x2 and y1 <= y2, as parts of the image from 0 to 1")


def _csv_proposals(path: Path) -> Iterator[tuple[Place, np.ndarray]]:
    found: dict[Place, list] = {}
    for where, row in _read_rows(path, (6, 7)):
        score = row[6] if row[6:] else 1
        found.setdefault((row[0], _second(where, row[1])), []).append(_box(where, [*row[2:6], score]))
    return ((place, np.array(boxes, np.float32)) for place, boxes in found.items())


def _json_proposals(path: Path) -> Iterator[tuple[Place, np.ndarray]]:
    try:
        content = json.loads(read_text(path, _EXPECTED))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON: {error}") from error
    return _named_proposals(path, content)


def _npz_proposals(path: Path) -> Iterator[tuple[Place, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _named_proposals(path, dict(arrays))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, zipfile.BadZipFile, TypeError, AttributeError, EOFError) as error:
        raise DataError(f"{path}: is no .npz of arrays of numbers: {error}") from error


def _pickled_proposals(path: Path) -> Iterator[tuple[Place, np.ndarray]]:
    try:
        return _named_proposals(path, load_arrays(path.read_bytes()))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except PickleFault as fault:
        raise DataError(f"{path}: {fault}; if you trust it: np.savez('proposals.npz', **pickle.load(file))") from fault


def _named_proposals(path: Path, content) -> Iterator[tuple[Place, np.ndarray]]:
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}; expected a dictionary of boxes under 'film,0902'")
    for key, boxes in content.items():
        name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
        video, _, second = name.rpartition(",")
        where = f"{path}: {name!r}"
        if not video:
            raise DataError(f"{where} is no key of the form 'film,0902'")
        yield (video, _second(where, second)), _proposal_array(where, boxes)


def _proposal_array(where: str, boxes) -> np.ndarray:
    try:
        array = np.array(boxes, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: {error}; expected boxes of x1, y1, x2, y2 and score") from error
    if array.size == 0:
        return np.zeros((0, 5), np.float32)
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise DataError(f"{where}: an array of shape {array.shape}; expected (N, 5) of x1, y1, x2, y2 and score")
    _check_boxes(where, array)
    return array if array.shape[1] == 5 else np.pad(array, ((0, 0), (0, 1)), constant_values=1)   # (N, 5)
