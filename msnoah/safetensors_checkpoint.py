"""Arrays from and to .safetensors files."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import save

from msnoah.atomic_file import replacing
from msnoah.errors import CheckpointError

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}
_TYPES = {np.dtype(dtype) for name, dtype in _DTYPES.items() if name != "BF16"}


def read_safetensors(path: str | PathLike) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file by name; bfloat16 comes as float32.

    Raises:
        CheckpointError: a file that cannot be read, is damaged, or holds a type that NumPy has not.
    """
    try:
        entries = safetensors.deserialize(Path(path).read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: damaged, or no .safetensors: {error}") from error
    return {name: _array(name, entry, path) for name, entry in entries}


def write_safetensors(path: str | PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Replaces `path` with a .safetensors of the arrays, in one step.

    Raises:
        CheckpointError: an array of a type that the format has not.
        RunFolderError: the system refused to write; the earlier file is kept.
    """
    for name, array in arrays.items():
        if array.dtype.newbyteorder("<") not in _TYPES:
            raise CheckpointError(f"{path}: '{name}' is of type {array.dtype}; .safetensors holds none")
    content = save({name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()})
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content)


def _array(name: str, entry: dict, path: str | PathLike) -> np.ndarray:
    if entry["dtype"] not in _DTYPES:
        raise CheckpointError(f"{path}: '{name}' is of type {entry['dtype']}; known: {', '.join(_DTYPES)}")
    array = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return (array.astype(np.uint32) << 16).view(np.float32) if entry["dtype"] == "BF16" else array
