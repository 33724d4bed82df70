"""MindIR attributes and tensors as Python values and numpy arrays."""

import math
from typing import Any

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.graph import GraphReference, TensorType, Type, Unreadable

DTYPES = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64, 16: np.float32, 17: np.float64,
}
"""Element type by MindIR's TensorProto number; complex, strings and packed types have no entry.

bfloat16 (16) is read as float32, which holds all its numbers: runtimes have few kernels for it, and a graph in float32
computes the same more exactly.
"""

MAX_SHOWN = 100
"""Characters of a damaged text that an error message quotes."""

BFLOAT16 = 16
TYPE_NAMES = {0: "undefined", 8: "string", 14: "complex64", 15: "complex128", 18: "int4"}

MAX_RANK, MAX_SIZE = 32, 2**40
"""Axes and elements of the largest tensor that is taken for one."""

# Attribute kind -> (field of one value, field of a list of one), as AttributeProto.AttributeType numbers them.
_INTEGERS = {2, 3, 4, 5, 6, 7, 12, 13}
_FLOATS, _DOUBLE, _STRING, _BOOL, _TENSORS, _SEQUENCES, _NONE = {1, 10}, 11, 8, 9, 19, {20, 21}, 25
_GRAPHS = {18, 27}
MONADS = {23, 24}


def read_attribute(attribute) -> Any:
    """An attribute as int, float, bool, str, None, tuple, numpy array, GraphReference, or Unreadable."""
    kind = attribute.type
    if kind in _SEQUENCES:
        return tuple(read_attribute(value) for value in attribute.values)
    if kind in _INTEGERS:
        return _one(attribute.ints, attribute.i)
    if kind == _BOOL:
        return bool(_one(attribute.ints, attribute.i))
    if kind in _FLOATS:
        return _one(attribute.floats, attribute.f)
    if kind == _DOUBLE:
        return _one(attribute.doubles, attribute.d)
    if kind == _STRING:
        return _read_text(attribute)
    if kind == _TENSORS:
        return _read_tensors(attribute.tensors)
    if kind in _GRAPHS:
        return GraphReference(_one(attribute.strings, attribute.s).decode())
    return None if kind == _NONE else Unreadable(kind)


def read_tensor(tensor, where: str, data: bytes | memoryview) -> np.ndarray:
    """The elements of a tensor that are stored in `data`; ConversionError if they are compressed or do not fill its
    shape."""
    type_ = read_tensor_type(tensor, where)
    if tensor.compression_type:
        raise ConversionError(f"{where} is compressed (type {tensor.compression_type}); export it uncompressed")
    stored = np.dtype(np.uint16) if tensor.data_type == BFLOAT16 else type_.dtype
    needed = math.prod(type_.shape) * stored.itemsize
    if needed != len(data):
        raise ConversionError(f"{where} is damaged: {type_} needs {needed} bytes, {len(data)} are stored")
    array = np.frombuffer(data, stored).reshape(type_.shape)
    return array if stored == type_.dtype else _widen(array)


def _widen(array: np.ndarray) -> np.ndarray:
    """bfloat16 numbers, as uint16, in float32: the same bits above 16 zeros."""
    return (array.astype(np.uint32) << 16).view(np.float32)


def read_tensor_type(tensor, where: str) -> TensorType:
    """Element type and static shape; ConversionError for a type without ONNX form or a shape known only at run time."""
    if tensor.data_type not in DTYPES:
        name = TYPE_NAMES.get(tensor.data_type, tensor.data_type)
        raise ConversionError(f"{where} has element type {name}, which cannot be converted; use float32 or float16")
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape):
        raise ConversionError(
            f"{where} has shape {list(shape)[:MAX_RANK]}, with sizes that are open; export it with static shapes (a "
            "free batch comes from two such exports, at batch 2 and at batch 3)")
    if len(shape) > MAX_RANK or math.prod(shape) > MAX_SIZE:
        raise ConversionError(f"{where} has shape {list(shape)[:MAX_RANK]}, which no tensor in memory can have")
    return TensorType(np.dtype(DTYPES[tensor.data_type]), shape)


def read_type(attribute, where: str) -> Type:
    """What a node's `shape` attribute declares: a tensor, a tuple of types, or None for scalars, closures, and tensors
    with sizes that the data decide."""
    if attribute.type in _SEQUENCES:
        return tuple(read_type(value, where) for value in attribute.values)
    if attribute.type == _TENSORS and attribute.tensors and attribute.tensors[0].data_type in DTYPES:
        tensor = attribute.tensors[0]
        return None if any(size < 0 for size in tensor.dims) else read_tensor_type(tensor, where)
    return None


def _read_tensors(tensors) -> Any:
    if len(tensors) == 1 and not tensors[0].dims and not tensors[0].raw_data and tensors[0].data_type in DTYPES:
        return np.dtype(DTYPES[tensors[0].data_type])   # A type as a value is a tensor without elements.
    arrays = [read_tensor(tensor, "a constant tensor", tensor.raw_data) for tensor in tensors]
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def _read_text(attribute) -> str:
    text = _one(attribute.strings, attribute.s).decode()
    if not text.isprintable():
        raise UnicodeError(f"attribute {ascii(attribute.name[:MAX_SHOWN])} is {ascii(text[:MAX_SHOWN])}, which is no text")
    return text


def _one(values, single):
    # A scalar stands in the singular field at the top and in the plural one inside a tuple.
    return values[0] if values else single
