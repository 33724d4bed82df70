"""Videos that were unpacked into folders of numbered images: img_00001.jpg, frame000001.png, 0001.jpg ..."""

import operator
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from msnoah.data.image_folder import read_image
from msnoah.errors import DataError

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_NUMBERED = re.compile(r"(?P<series>.*?)(?P<number>\d+)", re.DOTALL)
_OPTICAL_FLOW = "flow"   # flow_x_00001.jpg lies beside img_00001.jpg in many data sets


class FrameFolder:
    """The images of one folder as a video, in the order of their numbers, whichever the first one is."""

    def __init__(self, path: str | Path, total: int | None = None):
        """Lists the folder; `total` is how many frames a list says that it has.

        Raises:
            DataError: no such folder, no numbered images in it, two series of them, a gap, or another total.
        """
        self.path = Path(path)
        self._files = _numbered_files(self.path)
        if total is not None and total != len(self._files):
            raise DataError(f"{self.path}: has {len(self._files)} frames, but the list says {total}")
        self._shape: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self._files)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames by place in any order and with repeats, (len(indices), H, W, 3) uint8 RGB, never turned.

        Raises:
            IndexError: a place outside 0 to len - 1.
            DataError: an image that cannot be decoded or is of another size.
        """
        numbers = [operator.index(number) for number in indices]
        if not numbers:
            return self.read([0])[:0]
        if not 0 <= min(numbers) <= max(numbers) < len(self):
            raise IndexError(f"{self.path}: frames {min(numbers)} to {max(numbers)} of 0 to {len(self) - 1}")
        frames = {number: self._image(number) for number in sorted(set(numbers))}
        return np.stack([frames[number] for number in numbers])   # (len(indices), H, W, 3)

    def _image(self, number: int) -> np.ndarray:
        image = read_image(self._files[number], 3, upright=False)
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            found, expected = (f"{shape[1]} x {shape[0]}" for shape in (image.shape, self._shape))
            raise DataError(f"{self._files[number]}: is {found}, but other frames of its folder are {expected}")
        return image


def _numbered_files(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    except FileNotFoundError as error:
        raise DataError(f"{folder}: no such folder") from error
    except OSError as error:
        raise DataError(f"{folder}: is no folder of frames: {error.strerror}") from error
    series: dict[str, dict[int, Path]] = {}
    for path in files:
        match = _NUMBERED.fullmatch(path.stem)
        if not match or path.name.startswith("."):
            continue
        numbered = series.setdefault(match["series"], {})
        number = int(match["number"])
        if number in numbered:
            raise DataError(f"{folder}: {numbered[number].name} and {path.name} are both frame {number}")
        numbered[number] = path
    return _without_gaps(folder, _only_series(folder, series))


def _only_series(folder: Path, series: dict[str, dict[int, Path]]) -> dict[int, Path]:
    names = [name for name in series if not name.startswith(_OPTICAL_FLOW)] or list(series)
    if len(names) == 1:
        return series[names[0]]
    if names:
        raise DataError(f"{folder}: holds {len(names)} series of numbered images ({_listed(names)}); expected one")
    raise DataError(f"{folder}: holds no numbered images, as in img_00001.jpg; known suffixes: {' '.join(_SUFFIXES)}")


def _without_gaps(folder: Path, numbered: dict[int, Path]) -> list[Path]:
    numbers = sorted(numbered)
    for before, after in zip(numbers, numbers[1:]):
        if after != before + 1:
            count = numbers[-1] - numbers[0] + 1 - len(numbers)
            raise DataError(f"{folder}: of frames {numbers[0]} to {numbers[-1]} {count} are missing, as {before + 1}")
    return [numbered[number] for number in numbers]


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (" ..." if len(names) > 3 else "")
