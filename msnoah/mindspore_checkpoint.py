"""MindSpore's .ckpt files as arrays: a sequence of protobuf entries (name, dims, type, bytes), then a checksum.

MindSpore reads what is written here, and the other way round.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from msnoah.atomic_file import replacing
from msnoah.errors import CheckpointError

_ENTRY_TAG = 0x0A  # field 1 of Checkpoint, length-delimited
_CHECKSUM_MARK = b"crc_num"
_CHECKSUM_SIZE = len(_CHECKSUM_MARK) + 10
_PIECE_BYTES = 256 << 20  # protobuf takes no message of 2 GiB; larger arrays go in pieces of one name

_DTYPES = {
    "Float64": "<f8", "Float32": "<f4", "Float16": "<f2", "BFloat16": "<u2", "Bool": "?", "Int64": "<i8", "Int32": "<i4",
    "Int16": "<i2", "Int8": "i1", "UInt64": "<u8", "UInt32": "<u4", "UInt16": "<u2", "UInt8": "u1",
}
_TYPES = {np.dtype(dtype): name for name, dtype in _DTYPES.items() if name != "BFloat16"}


def write_mindspore_checkpoint(path: str | PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Replaces `path` with a .ckpt of the arrays, in one step: it is the old file or the whole new one.

    Raises:
        RunFolderError: the system refused to write; the earlier file is kept.
    """
    checksum = 0
    with replacing(Path(path)) as temporary, open(temporary, "wb") as file:
        for name, array in arrays.items():
            for entry in _encode(name, np.asarray(array)):
                checksum = zlib.crc32(entry, checksum)
                file.write(entry)
        file.write(_CHECKSUM_MARK + checksum.to_bytes(10, "big"))


def read_mindspore_checkpoint(path: str | PathLike) -> tuple[dict[str, np.ndarray], bool]:
    """The arrays of a .ckpt by name, and whether the file has a checksum (which was then right). bfloat16 comes as float32.

    Raises:
        CheckpointError: a file that cannot be read, is no .ckpt, or is damaged.
    """
    try:
        content = memoryview(Path(path).read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    checked = bytes(content[-_CHECKSUM_SIZE:-10]) == _CHECKSUM_MARK
    if checked:
        expected, content = int.from_bytes(content[-10:], "big"), content[:-_CHECKSUM_SIZE]
        if zlib.crc32(content) != expected:
            raise CheckpointError(f"{path}: damaged: its bytes do not match its checksum")
    try:
        return _decode_all(content), checked
    except (DecodeError, ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: damaged, or no MindSpore .ckpt: {error}") from error


def _encode(name: str, array: np.ndarray) -> Iterator[bytes]:
    from mindspore.train import checkpoint_pb2

    content = memoryview(np.ascontiguousarray(array)).cast("B") if array.size else memoryview(b"")
    for start in range(0, max(len(content), 1), _PIECE_BYTES):
        message = checkpoint_pb2.Checkpoint()
        entry = message.value.add()
        entry.tag = name
        entry.tensor.dims.extend(array.shape or (0,))  # MindSpore's mark of a scalar
        entry.tensor.tensor_type = _TYPES[array.dtype]
        entry.tensor.tensor_content = bytes(content[start:start + _PIECE_BYTES])
        yield message.SerializeToString()


def _decode_all(content: memoryview) -> dict[str, np.ndarray]:
    pieces, arrays = [], {}
    entries = list(_entries(content))
    for number, entry in enumerate(entries):
        pieces.append(entry.tensor.tensor_content)
        if number + 1 < len(entries) and entries[number + 1].tag == entry.tag:
            continue
        if entry.tag in arrays:
            raise ValueError(f"'{entry.tag}' stands in it twice")
        if entry.tensor.tensor_type != "str":
            arrays[entry.tag] = _decode(entry.tag, entry.tensor, b"".join(pieces))
        pieces.clear()
    return arrays


def _entries(content: memoryview) -> Iterator:
    from mindspore.train import checkpoint_pb2

    position = 0
    while position < len(content):
        if content[position] != _ENTRY_TAG:
            raise ValueError(f"no entry begins at byte {position}")
        length, position = _varint(content, position + 1)
        if position + length > len(content):
            raise ValueError(f"cut short: an entry of {length} bytes begins at byte {position} of {len(content)}")
        entry = checkpoint_pb2.Checkpoint.Value.FromString(content[position:position + length])
        if not entry.HasField("tensor"):
            raise ValueError(f"entry '{entry.tag}' is no tensor")
        yield entry
        position += length
    if not position:
        raise ValueError("the file is empty")


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """A protobuf length, 7 bits a byte, lowest first; and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        if position == len(content):
            break
        byte, position = content[position], position + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"no length at byte {position}")


def _decode(name: str, tensor, content: bytes) -> np.ndarray:
    if tensor.tensor_type not in _DTYPES:
        raise ValueError(f"'{name}' is of the unknown type {tensor.tensor_type!r:.40}")
    dtype, shape = np.dtype(_DTYPES[tensor.tensor_type]), tuple(tensor.dims)
    if shape == (0,) and content:
        shape = ()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"'{name}' of shape {shape} and type {tensor.tensor_type} has {len(content)} bytes")
    array = np.frombuffer(content, dtype).reshape(shape)
    return (array.astype(np.uint32) << 16).view(np.float32) if tensor.tensor_type == "BFloat16" else array
