"""MindSpore's .ckpt files as arrays: a sequence of protobuf entries (name, dims, type, bytes), then a checksum.

MindSpore reads what is written here, and the other way round. The few protobuf fields are read and written by hand, since
the generated classes come with the import of all of MindSpore.
"""

import dataclasses
import itertools
import math
import operator
import zlib
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from msnoah.atomic_file import replacing
from msnoah.errors import CheckpointError

# Field numbers of MindSpore's Checkpoint { repeated Value value }, Value { tag, tensor }, TensorProto { dims, type, content }.
_ENTRY = 1
_ENTRY_NAME, _ENTRY_TENSOR = 1, 2
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_CONTENT = 1, 2, 3
_VARINT, _LENGTH_DELIMITED = 0, 2  # protobuf's kinds of fields

_CHECKSUM_MARK = b"crc_num"
_CHECKSUM_SIZE = len(_CHECKSUM_MARK) + 10
_LONGEST_ENTRY_START = 11   # a field's key in one byte, its size in at most ten
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
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged, or no MindSpore .ckpt: {error}") from error


def read_first_array(path: str | PathLike) -> tuple[str, np.ndarray]:
    """Name and values of a .ckpt's first array, without reading the rest, so without its checksum.

    Raises:
        CheckpointError: a file that cannot be read or does not begin as a .ckpt.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(_LONGEST_ENTRY_START)
            size, place = _varint(memoryview(start), _varint(memoryview(start), 0)[1])
            content = start + file.read(max(min(size, _PIECE_BYTES) + place - len(start), 0))
        return next(iter(_decode_all(memoryview(content[:place + size])).items()))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged, or no MindSpore .ckpt: {error}") from error


def _encode(name: str, array: np.ndarray) -> Iterator[bytes]:
    content = memoryview(np.ascontiguousarray(array)).cast("B") if array.size else memoryview(b"")
    dims = b"".join(_varint_bytes(_TENSOR_DIMS << 3) + _varint_bytes(size) for size in array.shape or (0,))  # MindSpore's scalar
    described = dims + _field(_TENSOR_TYPE, _TYPES[array.dtype].encode())
    for start in range(0, max(len(content), 1), _PIECE_BYTES):
        tensor = described + _field(_TENSOR_CONTENT, content[start:start + _PIECE_BYTES])
        yield _field(_ENTRY, _field(_ENTRY_NAME, name.encode()) + _field(_ENTRY_TENSOR, tensor))


def _field(number: int, content: bytes | memoryview) -> bytes:
    return _varint_bytes(number << 3 | _LENGTH_DELIMITED) + _varint_bytes(len(content)) + bytes(content)


def _varint_bytes(value: int) -> bytes:
    """Protobuf's integers: 7 bits a byte, lowest first, the highest bit says that more follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


def _decode_all(content: memoryview) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, pieces in itertools.groupby(_entries(content), key=operator.itemgetter(0)):
        if name in arrays:
            raise ValueError(f"'{name}' stands in it twice")
        tensors = [tensor for _, tensor in pieces]
        if tensors[0].type != "str":
            arrays[name] = _array(name, tensors)
    if not arrays:
        raise ValueError("it holds no arrays")
    return arrays


@dataclasses.dataclass
class _Tensor:
    type: str = ""
    dims: list[int] = dataclasses.field(default_factory=list)
    content: memoryview = memoryview(b"")


def _entries(content: memoryview) -> Iterator[tuple[str, _Tensor]]:
    for number, entry in _fields(content):
        if number != _ENTRY or isinstance(entry, int):
            raise ValueError(f"a field {number} where entries are expected")
        fields = dict(_fields(entry))
        if not isinstance(fields.get(_ENTRY_NAME), memoryview) or not isinstance(fields.get(_ENTRY_TENSOR), memoryview):
            raise ValueError("an entry without name or tensor")
        yield str(fields[_ENTRY_NAME], "utf-8"), _tensor(fields[_ENTRY_TENSOR])


def _tensor(content: memoryview) -> _Tensor:
    tensor = _Tensor()
    for number, value in _fields(content):
        if number == _TENSOR_DIMS and isinstance(value, int):
            tensor.dims.append(value)
        elif number == _TENSOR_TYPE and isinstance(value, memoryview):
            tensor.type = str(value, "utf-8")
        elif number == _TENSOR_CONTENT and isinstance(value, memoryview):
            tensor.content = value
        else:
            raise ValueError(f"a tensor with an unknown field {number}")
    return tensor


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a protobuf message: (number, integer or bytes)."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        value, position = _varint(content, position)
        if key & 7 == _LENGTH_DELIMITED:
            if position + value > len(content):
                raise ValueError(f"cut short: {value} bytes are to follow, {len(content) - position} do")
            yield key >> 3, content[position:position + value]
            position += value
        elif key & 7 == _VARINT:
            yield key >> 3, value
        else:
            raise ValueError(f"a field of kind {key & 7}, which it does not have")


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """An integer, and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        if position == len(content):
            break
        byte, position = content[position], position + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"no integer ends at byte {position}")


def _array(name: str, pieces: list[_Tensor]) -> np.ndarray:
    tensor = pieces[0]
    if tensor.type not in _DTYPES:
        raise ValueError(f"'{name}' is of the unknown type {tensor.type!r:.40}")
    content = tensor.content if len(pieces) == 1 else b"".join(piece.content for piece in pieces)
    dtype, shape = np.dtype(_DTYPES[tensor.type]), tuple(tensor.dims)
    if shape == (0,) and content:
        shape = ()
    if math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"'{name}' of shape {shape} and type {tensor.type} has {len(content)} bytes")
    # A message may start at any byte, and MindSpore 2.7 takes no unaligned array.
    array = np.require(np.frombuffer(content, dtype), requirements="A").reshape(shape)
    return (array.astype(np.uint32) << 16).view(np.float32) if tensor.type == "BFloat16" else array
