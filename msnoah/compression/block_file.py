"""A file of named blocks, each compressed and each with its checksum, so that damage is found and told by its place.

    magic (8 bytes)  header's length and CRC-32 (4 + 4 bytes, little-endian)  header (JSON)  blocks, one after another

The header lists name, size and CRC-32 of every block as it lies in the file, and holds the caller's own record. Blocks
are xz streams (lzma); numbers in them are little-endian.
"""

import json
import lzma
import struct
import zlib
from pathlib import Path
from typing import Any

from msnoah.atomic_file import replacing
from msnoah.errors import CheckpointError

MAGIC = b"MSNEXCP1"
_LENGTHS = struct.Struct("<II")
_LEVEL = 6   # of xz: 9 takes twice the time for under 1 % on codes


def write_blocks(path: Path, record: dict[str, Any], blocks: dict[str, bytes]) -> None:
    """Writes a record and blocks as one atomic replacement.

    Raises:
        RunFolderError: the system refused to write; the earlier file is kept.
    """
    packed = {name: lzma.compress(content, preset=_LEVEL) for name, content in blocks.items()}
    places = [{"name": name, "size": len(content), "crc32": zlib.crc32(content)} for name, content in packed.items()]
    header = json.dumps({"record": record, "blocks": places}, separators=(",", ":")).encode()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(MAGIC + _LENGTHS.pack(len(header), zlib.crc32(header)) + header)
        for content in packed.values():
            file.write(content)


def read_record(path: Path) -> dict[str, Any]:
    """The record alone, checked, without reading the blocks.

    Raises:
        CheckpointError: not such a file, or its header is damaged.
    """
    with _open(path) as file:
        return _read_header(path, file)["record"]


def read_blocks(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The record and the blocks by name.

    Raises:
        CheckpointError: not such a file, or damaged: says which part.
    """
    with _open(path) as file:
        header = _read_header(path, file)
        blocks = {place["name"]: _read_block(path, file, place) for place in header["blocks"]}
        if file.read(1):
            raise CheckpointError(f"{path}: goes on after its last block; the file is damaged")
    return header["record"], blocks


def _open(path: Path):
    try:
        return open(path, "rb")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def _read_header(path: Path, file) -> dict[str, Any]:
    if file.read(len(MAGIC)) != MAGIC:
        raise CheckpointError(f"{path}: not a compressed checkpoint (it does not begin with {MAGIC.decode()})")
    lengths = file.read(_LENGTHS.size)
    if len(lengths) == _LENGTHS.size:
        size, checksum = _LENGTHS.unpack(lengths)
        header = file.read(size) if size <= path.stat().st_size else b""   # a flipped bit may ask for 4 GB
        if len(header) == size and zlib.crc32(header) == checksum:
            return json.loads(header)
    raise CheckpointError(f"{path}: its header is damaged or cut short: the checksum does not fit")


def _read_block(path: Path, file, place: dict[str, Any]) -> bytes:
    content = file.read(place["size"])
    if len(content) != place["size"]:
        raise CheckpointError(f"{path}: cut short in block '{place['name']}'")
    if zlib.crc32(content) != place["crc32"]:
        raise CheckpointError(f"{path}: block '{place['name']}' is damaged: the checksum does not fit")
    return lzma.decompress(content)
