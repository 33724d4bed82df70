"""One file that holds the compressed frames of a video: a header, a table of where frames lie, then the frames.

    magic (8 bytes) | version, count (uint32) | key (32 bytes) | CRC-32 of the table (uint32)
    table: for each frame its place and size (uint64) and its CRC-32 (uint64), little-endian
    the frames, one after the other

Whatever is not exactly as it was written counts as damaged: another magic, version or key, a cut file, a changed byte.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from msnoah.atomic_file import replacing

_MAGIC, _VERSION = b"MSNOAHFR", 1
_HEADER = struct.Struct("<8sII32sI")
_ENTRY_BYTES = 24


class DamagedContainer(Exception):
    """A file that is no container of this version and key, or that has changed since it was written."""


class FrameContainer:
    """The frames of one file, found by number. The file is open only while frames are read."""

    def __init__(self, path: Path, key: bytes):
        """Reads the header and the table.

        Raises:
            DamagedContainer: the file is not the one that `write_container` wrote for this key.
            OSError: there is no such file, or it cannot be read.
        """
        self._path = path
        with path.open("rb") as file:
            self._table = _read_table(file, key, path.stat().st_size)

    def __len__(self) -> int:
        return len(self._table)

    def read(self, numbers: Sequence[int]) -> list[bytes]:
        """Compressed frames by number, in any order.

        Raises:
            DamagedContainer: a frame's bytes are not those that were written.
            OSError: the file is gone, or cannot be read.
        """
        frames = []
        with self._path.open("rb") as file:
            for place, size, check in self._table[list(numbers)].tolist():
                file.seek(place)
                frames.append(file.read(size))
                if zlib.crc32(frames[-1]) != check:
                    raise DamagedContainer(f"{self._path}: a frame has changed")
        return frames

    def remove(self) -> None:
        """Deletes the file, if it is still there and the system lets it go."""
        with suppress(OSError):
            self._path.unlink()


def write_container(path: Path, key: bytes, count: int, frames: Iterable[bytes]) -> None:
    """Writes `count` frames as one file that is either whole or not there; `key` is 32 bytes that readers must know.

    Raises:
        RunFolderError: the system refused to write, with its reason.
    """
    table = np.zeros((count, 3), "<u8")
    with replacing(path) as temporary, temporary.open("wb") as file:
        place = file.seek(_HEADER.size + table.nbytes)
        for entry, frame in zip(table, frames, strict=True):
            entry[:] = place, len(frame), zlib.crc32(frame)
            place += file.write(frame)
        file.seek(0)
        file.write(_HEADER.pack(_MAGIC, _VERSION, count, key, zlib.crc32(table.tobytes())) + table.tobytes())


def _read_table(file: BinaryIO, key: bytes, size: int) -> np.ndarray:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise DamagedContainer(f"{file.name}: has {size} bytes, too few for a header")
    magic, version, count, found, check = _HEADER.unpack(header)
    if (magic, version, found) != (_MAGIC, _VERSION, key):
        raise DamagedContainer(f"{file.name}: was written for other frames, or by another version")
    table = file.read(min(_ENTRY_BYTES * count, size))
    if len(table) != _ENTRY_BYTES * count or zlib.crc32(table) != check:
        raise DamagedContainer(f"{file.name}: its table of frames is damaged")
    entries = np.frombuffer(table, "<u8").reshape(count, 3)   # place, size, CRC-32
    if count and entries[-1, :2].sum() != size:
        raise DamagedContainer(f"{file.name}: has {size} bytes, but its frames need {entries[-1, :2].sum()}")
    return entries
