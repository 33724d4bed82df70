"""A file of named blocks, each compressed and each with its checksum, so that damage is found and told by its place.

    magic (8 bytes)  header's length and CRC-32 (4 + 4 bytes, little-endian)  header (deflated JSON)  blocks in a row

The header lists name, size and CRC-32 of every block as it lies in the file, and holds the caller's own record. Blocks
are raw deflate streams (zlib) of Huffman codes and runs alone: what lies in them has no repeats worth a search.
xz, which searches, takes thirty times as long for 2 to 4 % of their size. Numbers in them are little-endian.
"""

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msnoah.atomic_file import replacing
from msnoah.errors import CheckpointError

MAGIC = b"MSNEXCP2"
_LENGTHS = struct.Struct("<II")
_RAW_DEFLATE = -15   # zlib's word for: no header, no checksum, a window of 2^15 bytes
_MEMORY = 7          # codes for every 8,192 bytes: they follow what changes from tensor to tensor


@dataclass(frozen=True)
class BlockFile:
    """What a file holds, checked: the caller's record, the blocks by name, and the SHA-256 of all its bytes."""

    record: dict[str, Any]
    blocks: dict[str, bytes]
    sha256: str


def write_blocks(path: Path, record: dict[str, Any], blocks: dict[str, bytes]) -> str:
    """Writes a record and blocks as one atomic replacement; the SHA-256 of the file.

    Raises:
        RunFolderError: the system refused to write; the earlier file is kept.
    """
    packed = {name: _deflate(content, zlib.Z_RLE) for name, content in blocks.items()}
    places = [{"name": name, "size": len(content), "crc32": zlib.crc32(content)} for name, content in packed.items()]
    text = json.dumps({"record": record, "blocks": places}, separators=(",", ":"))
    header = _deflate(text.encode(), zlib.Z_DEFAULT_STRATEGY)
    parts = [MAGIC + _LENGTHS.pack(len(header), zlib.crc32(header)) + header, *packed.values()]
    digest = hashlib.sha256()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for part in parts:
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


def read_record(path: Path) -> dict[str, Any]:
    """The record alone, checked, without reading the blocks.

    Raises:
        CheckpointError: not such a file, or its header is damaged.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(MAGIC) + _LENGTHS.size)
            size = _LENGTHS.unpack(start[len(MAGIC):])[0] if len(start) == len(MAGIC) + _LENGTHS.size else 0
            # A flipped bit may ask for 4 GB.
            return _header(path, memoryview(start + file.read(min(size, path.stat().st_size))))[0]["record"]
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def read_blocks(path: Path) -> BlockFile:
    """The whole file.

    Raises:
        CheckpointError: not such a file, or damaged: says which part.
    """
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    header, place = _header(path, content)
    blocks = {}
    for row in header["blocks"]:
        blocks[row["name"]] = _block(path, content[place:place + row["size"]], row)
        place += row["size"]
    if place != len(content):
        raise CheckpointError(f"{path}: goes on after its last block; the file is damaged")
    return BlockFile(header["record"], blocks, hashlib.sha256(content).hexdigest())


def _header(path: Path, content: memoryview) -> tuple[dict[str, Any], int]:
    """The header, and where the blocks begin."""
    if content[:len(MAGIC)] != MAGIC:
        raise CheckpointError(f"{path}: not a compressed checkpoint (it does not begin with {MAGIC.decode()})")
    start = len(MAGIC) + _LENGTHS.size
    if len(content) >= start:
        size, checksum = _LENGTHS.unpack(content[len(MAGIC):start])
        header = content[start:start + size]
        if len(header) == size and zlib.crc32(header) == checksum:
            return json.loads(zlib.decompress(header, _RAW_DEFLATE)), start + size
    raise CheckpointError(f"{path}: its header is damaged or cut short: the checksum does not fit")


def _block(path: Path, content: memoryview, row: dict[str, Any]) -> bytes:
    if len(content) != row["size"]:
        raise CheckpointError(f"{path}: cut short in block '{row['name']}'")
    if zlib.crc32(content) != row["crc32"]:
        raise CheckpointError(f"{path}: block '{row['name']}' is damaged: the checksum does not fit")
    return zlib.decompress(content, _RAW_DEFLATE)


def _deflate(content: bytes, strategy: int) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, _RAW_DEFLATE, _MEMORY, strategy)
    return stream.compress(content) + stream.flush()
