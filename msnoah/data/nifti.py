"""NIfTI-1 volumes in a single file (.nii, .nii.gz): a header of 348 bytes, then the voxels.

https://nifti.nimh.nih.gov/nifti-1
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from msnoah.errors import DataError

_HEADER_SIZE = 348
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
_MOST_BYTES = 1 << 30


def read_nifti(path: Path) -> np.ndarray:
    """The voxels as stored, (X, Y, Z) of their own type; scale, offset and place in space are left aside.

    Raises:
        DataError: a file that cannot be read, is cut short, or is no volume of whole or real numbers.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            content = file.read(_MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if len(content) < _HEADER_SIZE or content[344:347] != b"n+1":
        raise DataError(f"{path}: not a NIfTI-1 file ({len(content)} bytes)")
    order = "<" if struct.unpack_from("<i", content)[0] == _HEADER_SIZE else ">"
    rank, *shape = struct.unpack_from(f"{order}8h", content, 40)
    code, (start,) = struct.unpack_from(f"{order}h", content, 70)[0], struct.unpack_from(f"{order}f", content, 108)
    if rank < 3 or math.prod(shape[3:rank]) != 1 or min(shape[:3]) < 1 or code not in _TYPES:
        raise DataError(f"{path}: not one volume of numbers (sizes {shape[:max(rank, 0)]}, data type {code})")
    dtype, count = np.dtype(order + _TYPES[code]), math.prod(shape[:3])
    if not _HEADER_SIZE <= start <= len(content) - count * dtype.itemsize:
        raise DataError(f"{path}: cut short: {len(content)} bytes, but {count} voxels of {dtype} begin at {start:g}")
    voxels = np.frombuffer(content, dtype, count, int(start)).astype(dtype.newbyteorder("="), copy=False)
    return voxels.reshape(shape[:3], order="F")
