"""Files as arrays without a copy: the system reads their pages when they are used and takes them back when told."""

import mmap
from pathlib import Path

import numpy as np

from msnoah.errors import ConversionError


def map_file(path: Path) -> memoryview:
    """The bytes of a file; mapped where the system can (a pipe is read).

    Raises:
        ConversionError: the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            try:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except (ValueError, OSError):  # empty, or no regular file
                return memoryview(file.read())
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read ({error.strerror or error})") from None


def drop_pages(array: np.ndarray) -> None:
    """Gives the memory under a mapped array back; what is read again comes from the file. Other arrays are left."""
    mapping = _find_mapping(array)
    if mapping is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    low, high = (bound - _address(np.frombuffer(mapping, np.uint8)) for bound in np.byte_bounds(array))
    low -= low % mmap.PAGESIZE
    mapping.madvise(mmap.MADV_DONTNEED, low, high - low)


def _find_mapping(array: np.ndarray) -> mmap.mmap | None:
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    source = base.obj if isinstance(base, memoryview) else base
    return source if isinstance(source, mmap.mmap) else None


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
