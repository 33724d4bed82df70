"""Pickles of plain data and numpy arrays, read without importing or calling what they name."""

from typing import Any

import numpy as np

from msnoah.restricted_pickle import PickleFault, restricted_loads

_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")


def load_arrays(content: bytes) -> Any:
    """What a pickle of Python 2 or 3 holds: byte strings stay bytes; an array, or arrays in a dictionary, are numpy's.

    Raises:
        PickleFault: damaged bytes, anything but plain data and arrays of numbers.
    """
    value = restricted_loads(content, _KNOWN, encoding="bytes")
    return {key: _array(item) for key, item in value.items()} if isinstance(value, dict) else _array(value)


def _array(value: Any) -> Any:
    if not isinstance(value, _PickledArray):
        return value
    if value.array is None:
        raise PickleFault("holds an array without content")
    return value.array   # read-only


class _PickledArray:
    """Takes the state of a pickled ndarray: (version, shape, dtype, is Fortran, bytes)."""

    array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        self.array = np.frombuffer(content, dtype.read()).reshape(shape, order="F" if is_fortran else "C")


class _PickledDtype:
    """Takes the name of a type, then a state that begins with a version and the order of bytes."""

    _order = "<"

    def __init__(self, name: Any, *unused: Any):
        self._name = _text(name)

    def __setstate__(self, state: Any) -> None:
        self._order = _text(state[1])

    def read(self) -> np.dtype:
        if self._name not in _TYPES or self._order not in ("<", ">", "|", "="):
            raise ValueError(f"an array of type {self._name!r}, which is no type of plain numbers")
        return np.dtype(self._order + self._name)


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1")  # how Python 3 writes bytes in protocol 2


def _empty_bytes() -> bytes:
    return b""  # how Python 3 writes these in protocol 2


def _reconstruct(*unused: Any) -> _PickledArray:
    return _PickledArray()


_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _reconstruct,
    ("numpy", "dtype"): _PickledDtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
}
