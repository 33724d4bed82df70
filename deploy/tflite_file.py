"""What a .tflite file says of its weights, read without a runtime: it is a FlatBuffer, whose tables hold offsets.

Layout and numbers of fields are those of TensorFlow Lite's schema (tensorflow/lite/schema/schema.fbs, version 3).
"""

import struct
from collections import Counter

IDENTIFIER = b"TFL3"
SUBGRAPHS, BUFFERS = 2, 4            # fields of a model
TENSORS = 0                          # of a subgraph
TYPE, BUFFER = 1, 2                 # of a tensor
DATA = 0                             # of a buffer
TYPES = {
    0: ("float32", 32), 1: ("float16", 16), 3: ("int8", 8), 9: ("int8", 8), 10: ("float64", 64), 17: ("int4", 4)}
"""TensorType -> a name of precision and its bits; uint8 counts as int8. Integers that index are left out."""


def weight_counts(content: bytes) -> Counter[str]:
    """Elements of constants by precision.

    Raises:
        ValueError: not a FlatBuffer of TensorFlow Lite, or a damaged one.
    """
    if content[4:8] != IDENTIFIER:
        raise ValueError(f"its bytes 4 to 8 are {content[4:8]!r}, expected {IDENTIFIER!r}")
    try:
        return _weight_counts(content)
    except struct.error as error:
        raise ValueError(f"damaged: {error}") from error


def _weight_counts(content: bytes) -> Counter[str]:
    model, counts = _follow(content, 0), Counter()
    buffers = _tables(content, model, BUFFERS)
    for graph in _tables(content, model, SUBGRAPHS):
        for tensor in _tables(content, graph, TENSORS):
            buffer = _at(content, buffers, _number(content, tensor, BUFFER, "<I"))
            size = _length(content, buffer, DATA)
            name, bits = TYPES.get(_number(content, tensor, TYPE, "<b"), (None, 1))
            if size and name:
                counts[name] += size * 8 // bits
    return counts


def _at(content: bytes, tables: list[int], index: int) -> int:
    if index >= len(tables):
        raise ValueError(f"damaged: a tensor names buffer {index} of {len(tables)}")
    return tables[index]


def _follow(content: bytes, place: int) -> int:
    """Where the offset that lies at a place points to."""
    return place + struct.unpack_from("<I", content, place)[0]


def _field(content: bytes, table: int, number: int) -> int | None:
    """Where a field of a table lies; None where the table leaves it at its default."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    place = 4 + 2 * number
    if place >= struct.unpack_from("<H", content, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", content, vtable + place)[0]
    return table + offset if offset else None


def _number(content: bytes, table: int, number: int, kind: str) -> int:
    place = _field(content, table, number)
    return 0 if place is None else struct.unpack_from(kind, content, place)[0]


def _length(content: bytes, table: int, number: int) -> int:
    """The number of elements of a vector."""
    place = _field(content, table, number)
    return 0 if place is None else struct.unpack_from("<I", content, _follow(content, place))[0]


def _tables(content: bytes, table: int, number: int) -> list[int]:
    """Where the tables of a vector of tables lie."""
    place = _field(content, table, number)
    if place is None:
        return []
    vector = _follow(content, place)
    return [_follow(content, vector + 4 + 4 * index) for index in range(_length(content, table, number))]
