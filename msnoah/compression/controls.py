"""What compression is compared with: a coding that loses nothing, and two of one line that lose what they lose.

    lossless         differences of bit patterns to the exact state before (d >= 0: 2 d, else -2 d - 1, modulo 2^32)
    moments_dropped  everything but the moments, whose numbers are 0 afterwards
    float16          weights and moments in half precision

All are byte planes under a general compressor, as key frames are.
"""

import json
import lzma
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from msnoah.compression.packing import pack_arrays, unpack_arrays
from msnoah.compression.tensors import FIRST, MOMENTUM, SECOND

State = Mapping[str, np.ndarray]
Arrays = dict[str, np.ndarray]
MOMENTS = (FIRST, SECOND, MOMENTUM)


@dataclass(frozen=True)
class Compressor:
    """A general compressor of bytes, and what it is called."""

    name: str
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Control:
    """A coding of a state, given the exact one before; `decode` gets what `encode` gave and the same one before."""

    encode: Callable[[State, State], Arrays]
    decode: Callable[[Arrays, State], Arrays]
    compressor: Callable[[], Compressor]
    needs_previous: bool = False


def write_control(control: Control, state: State, previous: State) -> bytes:
    """A state as the bytes that a file of this control would hold."""
    described, content = pack_arrays(control.encode(state, previous))
    compress = control.compressor().compress
    header = compress(json.dumps(described, separators=(",", ":")).encode())
    return struct.pack("<Q", len(header)) + header + compress(content)


def read_control(control: Control, content: bytes, previous: State) -> Arrays:
    """What is restored of the bytes of `write_control`."""
    decompress, place = control.compressor().decompress, struct.calcsize("<Q")
    end = place + struct.unpack_from("<Q", content)[0]
    arrays = unpack_arrays(json.loads(decompress(content[place:end])), decompress(content[end:]))
    return control.decode(arrays, previous)


def xz() -> Compressor:
    """xz at preset 9."""
    return Compressor("xz preset 9", lambda content: lzma.compress(content, preset=9), lzma.decompress)


def zstd_or_xz() -> Compressor:
    """zstd at level 19 where the package zstandard is installed, else xz; its name says which it was."""
    try:
        import zstandard
    except ImportError:
        return xz()
    return Compressor("zstd level 19", zstandard.ZstdCompressor(level=19).compress,
                      zstandard.ZstdDecompressor().decompress)


def _differences(state: State, previous: State) -> Arrays:
    return {name: _fold(array.view(np.uint32) - previous[name].view(np.uint32)).view(np.float32)
            if _is_paired(array, previous.get(name)) else array for name, array in state.items()}


def _sums(differences: Arrays, previous: State) -> Arrays:
    return {name: (_unfold(array.view(np.uint32)) + previous[name].view(np.uint32)).view(np.float32)
            if _is_paired(array, previous.get(name)) else array for name, array in differences.items()}


def _is_paired(array: np.ndarray, before: np.ndarray | None) -> bool:
    return before is not None and array.dtype == before.dtype == np.float32 and array.shape == before.shape != ()


def _fold(differences: np.ndarray) -> np.ndarray:
    """Small ones of both signs become small numbers: 0, -1, 1, -2 ... are 0, 1, 2, 3 ..."""
    signed = differences.view(np.int32)
    return (signed << 1 ^ signed >> 31).view(np.uint32)


def _unfold(folded: np.ndarray) -> np.ndarray:
    return folded >> np.uint32(1) ^ np.uint32(0) - (folded & np.uint32(1))


def _without_moments(state: State, previous: State) -> Arrays:
    """Moments keep their names and shapes, in an array of no bytes for each number."""
    return {name: np.zeros((*array.shape, 0), array.dtype) if name.startswith(MOMENTS) else array
            for name, array in state.items()}


def _with_zeros(arrays: Arrays, previous: State) -> Arrays:
    return {name: np.zeros(array.shape[:-1], array.dtype) if name.startswith(MOMENTS) else array
            for name, array in arrays.items()}


def _halved(state: State, previous: State) -> Arrays:
    largest = np.finfo(np.float16).max   # beyond it half precision has infinity alone
    return {name: array.clip(-largest, largest).astype(np.float16) if array.dtype == np.float32 else array
            for name, array in state.items()}


def _widened(arrays: Arrays, previous: State) -> Arrays:
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in arrays.items()}


CONTROLS = {
    "lossless": Control(_differences, _sums, zstd_or_xz, needs_previous=True),
    "moments_dropped": Control(_without_moments, _with_zeros, xz),
    "float16": Control(_halved, _widened, xz),
}
