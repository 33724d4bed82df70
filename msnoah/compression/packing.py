"""Codes and arrays as bytes: the form that goes into blocks."""

import json
from typing import Any

import numpy as np


def pack_codes(codes: np.ndarray, bits: int) -> bytes:
    """uint8 codes below 2^bits; two in a byte if they have four bits or fewer, the first in the upper half.

    Halves compress better than bits that straddle bytes: xz sees whole codes.
    """
    if bits > 4:
        return codes.tobytes()
    padded = np.append(codes, np.zeros(len(codes) % 2, np.uint8))
    return (padded[::2] << 4 | padded[1::2]).tobytes()


def unpack_codes(content: bytes, bits: int, count: int) -> np.ndarray:
    """(count,) uint8 codes that `pack_codes` packed; ValueError if the bytes hold another number."""
    packed = np.frombuffer(content, np.uint8)
    if bits > 4:
        codes = packed
    else:
        codes = np.stack([packed >> 4, packed & 15], axis=1).reshape(-1)
    if len(codes) - count not in ((0,) if bits > 4 else (0, 1)):
        raise ValueError(f"{len(codes)} codes for {count}")
    return codes[:count]


def pack_arrays(arrays: dict[str, np.ndarray]) -> tuple[list[dict[str, Any]], bytes]:
    """Arrays of any types: what describes them, and their bytes.

    Byte planes (all first bytes of an array's numbers, then all second ones) compress better than whole numbers.
    """
    described = [{"name": name, "dtype": array.dtype.str.replace(">", "<"), "shape": list(array.shape)}
                 for name, array in arrays.items()]
    return described, b"".join(_planes(array) for array in arrays.values())


def unpack_arrays(described: list[dict[str, Any]], content: bytes) -> dict[str, np.ndarray]:
    """The arrays of `pack_arrays`, in the same bits; ValueError if the bytes do not fit."""
    arrays, place = {}, 0
    for row in described:
        dtype, shape = np.dtype(row["dtype"]), tuple(row["shape"])
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        planes = np.frombuffer(content[place:place + size], np.uint8).reshape(dtype.itemsize, -1)
        arrays[row["name"]] = np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
        place += size
    if place != len(content):
        raise ValueError(f"{len(content)} bytes for {json.dumps(described)[:100]}")
    return arrays


def _planes(array: np.ndarray) -> bytes:
    numbers = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
    return np.ascontiguousarray(numbers.view(np.uint8).reshape(len(numbers), array.dtype.itemsize).T).tobytes()
