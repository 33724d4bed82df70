"""Arrays in a file without a format: the bytes of one after another, in C order and little-endian.

Both ends know types and shapes, so that a runner without numpy can read and write such files as well.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from msnoah.errors import ProfileError

Layout = tuple[str, tuple[int, ...]]
"""numpy's name of an element type, and a shape."""


def write_arrays(path: Path, arrays: Sequence[np.ndarray]) -> None:
    """Writes arrays of any shapes."""
    with open(path, "wb") as file:
        for array in arrays:
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())


def read_arrays(path: Path, layouts: Sequence[Layout]) -> list[np.ndarray]:
    """The arrays of a file, one for each type and shape.

    Raises:
        ProfileError: the file has more or fewer bytes.
    """
    sizes = [math.prod(shape) * np.dtype(dtype).itemsize for dtype, shape in layouts]
    found = path.stat().st_size
    if found != sum(sizes):
        raise ProfileError(f"{path}: {found} bytes; expected {sum(sizes)} for arrays {list(layouts)}")
    with open(path, "rb") as file:
        return [_read(file, np.dtype(dtype), shape) for dtype, shape in layouts]


def _read(file, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    return np.fromfile(file, dtype.newbyteorder("<"), math.prod(shape)).reshape(shape).astype(dtype, copy=False)
