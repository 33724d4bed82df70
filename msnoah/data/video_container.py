"""What the container of a video says of itself: whether the file is all there, and whether its frames are counted."""

from pathlib import Path
from typing import BinaryIO

from msnoah.errors import DataError

_MP4_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"}
_MP4_INDEXES = {b"moov"}
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_UNKNOWN_SIZES = {(1 << 7 * count) - 1 for count in range(1, 9)}


def check_whole(path: Path) -> bool:
    """Whether the container's header counts its frames (MP4 and AVI do; others are estimated from the duration).

    Raises:
        DataError: an MP4 or Matroska file that ends before a part of it does, or an MP4 file without an index.
    """
    with path.open("rb") as file:
        head = file.read(16)
        if head[4:8] in _MP4_FIRST_BOXES:
            _check_mp4(path, file)
            return True
        if head[:4] == _EBML.to_bytes(4, "big"):
            _check_matroska(path, file)
    return head[:4] == b"RIFF" and head[8:12] == b"AVI "


def _check_mp4(path: Path, file: BinaryIO) -> None:
    """ISO/IEC 14496-12: boxes of a size (32 bits; 1: 64 bits after the name; 0: to the end) and a name of 4 letters."""
    end, place, names = path.stat().st_size, 0, set()
    while place + 8 <= end:
        file.seek(place)
        header = file.read(16)
        size, name = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if not name.isalnum() or 0 < size < 8:
            break   # padding after the last box, which players ignore too
        names.add(name)
        place = place + size if size else end
    if place > end:
        raise DataError(f"{path}: cut short: it has {end:,} bytes of {place:,} or more")
    if not names & _MP4_INDEXES:
        raise DataError(f"{path}: cut short, or never finished: it holds no index of its frames (no 'moov' box)")


def _check_matroska(path: Path, file: BinaryIO) -> None:
    """RFC 8794: elements of an ID, a size and so many bytes; first the EBML header, then the segment with the rest."""
    end = path.stat().st_size
    file.seek(4)
    file.seek(_read_size(file), 1)
    if int.from_bytes(file.read(4), "big") != _SEGMENT:
        return
    size = _read_size(file)
    expected = file.tell() + size
    if size not in _UNKNOWN_SIZES and expected > end:
        raise DataError(f"{path}: cut short: it has {end:,} bytes of {expected:,}")


def _read_size(file: BinaryIO) -> int:
    """EBML's integers: as many zero bits before the first one as bytes follow the first byte."""
    first = file.read(1)[0:1] or b"\xff"
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    return int.from_bytes(bytes([first[0] & (0xFF >> length)]) + rest, "big")
