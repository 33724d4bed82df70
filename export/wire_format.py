"""Protobuf's wire format, for what is too large to pass through protobuf itself."""

from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED_SIZES = {1: 8, 5: 4}
_MAX_VARINT_BYTES = 10


class Field(NamedTuple):
    """One field of a message: its number, where its tag begins, where its contents begin and end.

    `number` is 0 for a field that holds neither text, bytes nor a message.
    """

    number: int
    start: int
    contents: int
    end: int


def read_fields(data: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message at data[start:end], in order.

    Raises:
        ValueError: the bytes are no message.
    """
    while start < end:
        tag, contents = _read_varint(data, start)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            length, contents = _read_varint(data, contents)
            stop = contents + length
        elif kind == _VARINT:
            stop = _read_varint(data, contents)[1]
        elif kind in _FIXED_SIZES:
            stop = contents + _FIXED_SIZES[kind]
        else:
            raise ValueError(f"wire type {kind} at byte {start}")
        if stop > end:
            raise ValueError(f"the field at byte {start} ends at {stop}, its message at {end}")
        yield Field(tag >> 3 if kind == _LENGTH_DELIMITED else 0, start, contents, stop)
        start = stop


def encode_prefix(number: int, length: int) -> bytes:
    """What stands before `length` bytes of text, bytes or a message: tag and length."""
    return _encode_varint(number << 3 | _LENGTH_DELIMITED) + _encode_varint(length)


def _read_varint(data: memoryview, start: int) -> tuple[int, int]:
    """The number and the position after it."""
    number = 0
    for index in range(_MAX_VARINT_BYTES):
        if start + index >= len(data):
            break
        byte = data[start + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, start + index + 1
    raise ValueError(f"no number at byte {start}")


def _encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
