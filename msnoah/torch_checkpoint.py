"""Reads the .pth files of torch.save without PyTorch and without running anything that they contain.

The file is a zip archive: <name>/data.pkl describes the objects, <name>/data/<key> hold the numbers of the tensors.
The pickle is read by an unpickler that never imports; objects of unknown classes (a config, parsed arguments) become inert.
"""

import dataclasses
import functools
import math
import zipfile
import zlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from msnoah.errors import CheckpointError
from msnoah.restricted_pickle import Dictionary, PickleFault, Placeholder, restricted_loads

# Where published files keep the weights; the averaged ones only if there are no others.
_STATE_KEYS = ("model", "state_dict", "model_state_dict", "net", "network", "module", "model_ema", "state_dict_ema", "ema")
_PARALLEL_PREFIX = "module."  # of DataParallel and DistributedDataParallel
_OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # before PyTorch 1.6
_MAX_RANK = 32

_DTYPES = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2", "complex64": "c8", "complex128": "c16", "bool": "?",
    "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1", "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1",
}
_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128", "BoolStorage": "bool", "LongStorage": "int64",
    "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
}


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A run of numbers in the archive; `count` is in elements of `dtype`."""

    key: str
    dtype: str
    count: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _BadTensor(ValueError):
    """A tensor or storage that the pickle describes wrongly."""


def read_torch_checkpoint(path: str | PathLike) -> dict[str, np.ndarray]:
    """The weights in a .pth file, by the names of its state dict, as read-only arrays; bfloat16 comes as float32.

    The state dict is the file's object itself or stands under a usual key ('model', 'state_dict', ...).

    Raises:
        CheckpointError: no file of torch.save, one that is damaged, of the format before PyTorch 1.6 or without a state
            dict, or a state dict that holds something else than tensors.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path)
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path}: {_not_a_zip(path, error)}") from error
    except (zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def is_torch_checkpoint(start: bytes) -> bool:
    """Whether a file that begins with these 512 bytes is meant for PyTorch, in its present or its older formats."""
    return start.startswith(b"PK\x03\x04") or _is_old(start)


def _read_archive(archive: zipfile.ZipFile, path: Path) -> dict[str, np.ndarray]:
    members = _members(archive, path)
    root = _root(members, path)
    try:
        content = restricted_loads(archive.read(members[f"{root}/data.pkl"]), _KNOWN, placeholders=True, storage=_storage)
    except PickleFault as fault:
        raise CheckpointError(f"{path}: data.pkl {fault}") from fault
    byte_order = ">" if f"{root}/byteorder" in members and archive.read(members[f"{root}/byteorder"]) == b"big" else "<"

    @functools.cache
    def numbers(storage: _Storage) -> np.ndarray:
        return _read_storage(archive, members.get(f"{root}/data/{storage.key}"), storage, byte_order)

    arrays = {}
    for name, tensor in _state_dict(content, path).items():
        try:
            arrays[name] = _view(numbers(tensor.storage), tensor)
        except _BadTensor as error:
            raise CheckpointError(f"{path}: tensor '{name}': {error}") from error
    return arrays


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The archive's files by name. torch.save stores them as they are, so no archive can hold more than its own size."""
    members = {member.filename: member for member in archive.infolist()}
    if any(name.endswith("/constants.pkl") for name in members):
        raise CheckpointError(f"{path}: a TorchScript archive; resave it: torch.save(torch.jit.load(path).state_dict(), path)")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise CheckpointError(f"{path}: a compressed zip archive; torch.save writes uncompressed ones")
    if len(members) != len(archive.infolist()) or sum(member.file_size for member in members.values()) > path.stat().st_size:
        raise CheckpointError(f"{path}: its zip directory declares more data than the file holds")
    return members


def _root(members: dict[str, zipfile.ZipInfo], path: Path) -> str:
    roots = [name.removesuffix("/data.pkl") for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(f"{path}: a zip archive without <name>/data.pkl, so not written by torch.save")
    return roots[0]


def _not_a_zip(path: Path, error: zipfile.BadZipFile) -> str:
    with open(path, "rb") as file:
        start = file.read(512)
    if _is_old(start):
        return "written before PyTorch 1.6; resave it there: torch.save(torch.load(path, weights_only=True), path)"
    return f"no whole file of torch.save: {error}"


def _is_old(start: bytes) -> bool:
    return start.startswith(_OLD_MAGIC) or start[257:262] == b"ustar"


def _state_dict(content: Any, path: Path) -> dict[str, _Tensor]:
    found = _find_state_dict(content)
    if found is None:
        held = f"the keys {', '.join(map(repr, list(content)[:8]))}" if isinstance(content, dict) else _kind(content)
        raise CheckpointError(f"{path}: no state dict: it holds {held}; expected tensors by name, alone or under 'model' or 'state_dict'")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise CheckpointError(f"{path}: state dict entry {name!r:.80} is {_kind(value)}, expected a tensor")
    if all(name.startswith(_PARALLEL_PREFIX) for name in found):
        return {name.removeprefix(_PARALLEL_PREFIX): tensor for name, tensor in found.items()}
    return found


def _find_state_dict(content: Any) -> dict | None:
    if not isinstance(content, dict):
        return None
    candidates = [content, *(content[key] for key in _STATE_KEYS if key in content)]
    return next((c for c in candidates if isinstance(c, dict) and any(isinstance(v, _Tensor) for v in c.values())), None)


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"an object of the unknown {name}" if isinstance(value, Placeholder) else f"a {name.lstrip('_').lower()}"


def _read_storage(archive: zipfile.ZipFile, member: zipfile.ZipInfo | None, storage: _Storage, byte_order: str) -> np.ndarray:
    dtype = np.dtype(_DTYPES[storage.dtype]).newbyteorder(byte_order)
    if member is None:
        raise _BadTensor(f"its storage {storage.key!r:.40} is not in the archive")
    if member.file_size != storage.count * dtype.itemsize:
        raise _BadTensor(f"its storage has {member.file_size} bytes, but {storage.count} of {storage.dtype} are declared")
    stored = np.frombuffer(archive.read(member), dtype)
    if storage.dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored if dtype.isnative else stored.astype(dtype.newbyteorder("="))


def _view(numbers: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """The tensor as a view, so that an expanded one (stride 0) takes no memory however large it says it is."""
    if math.prod(tensor.shape):
        last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides))
        if last >= len(numbers):
            raise _BadTensor(f"its last element is number {last} of a storage of {len(numbers)}")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset:], tensor.shape, strides, writeable=False)


def _storage(pid: Any) -> _Storage:
    """A persistent id: ('storage', class, key, device, count)."""
    if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[2], str) and _is_count(pid[4])):
        raise _BadTensor("a persistent id that is no storage")
    kind = pid[1]
    if kind not in (*_DTYPES, "untyped"):
        raise _BadTensor(f"a storage of the unknown kind {getattr(kind, '__name__', '?')}")
    return _Storage(pid[2], kind, pid[4])


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *unused: Any) -> _Tensor:
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2."""
    shape, strides = tuple(shape), tuple(strides)
    if not isinstance(storage, _Storage) or storage.dtype == "untyped":
        raise _BadTensor("a tensor of no known storage")
    if not all(map(_is_count, (offset, *shape, *strides))) or len(shape) != len(strides) or len(shape) > _MAX_RANK:
        raise _BadTensor("a tensor of impossible shape")
    return _Tensor(storage, offset, shape, strides)


def _rebuild_typed(storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any, dtype: Any,
                   *unused: Any) -> _Tensor:
    """torch._utils._rebuild_tensor_v3: the storage counts bytes, the dtype stands beside it."""
    if not isinstance(storage, _Storage) or not isinstance(dtype, str):
        raise _BadTensor(f"a tensor of the unknown dtype {getattr(dtype, '__name__', '?')}")
    itemsize = np.dtype(_DTYPES[dtype]).itemsize
    return _rebuild(dataclasses.replace(storage, dtype=dtype, count=storage.count // itemsize), offset, shape, strides)


def _rebuild_parameter(tensor: Any, *unused: Any) -> Any:
    return tensor


def _size(sizes: Any = ()) -> tuple:
    return tuple(sizes)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


_REBUILDERS: dict[str, Callable] = {
    "_rebuild_tensor": _rebuild,
    "_rebuild_tensor_v2": _rebuild,
    "_rebuild_tensor_v3": _rebuild_typed,
    "_rebuild_parameter": _rebuild_parameter,
    "_rebuild_parameter_with_state": _rebuild_parameter,
}
_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Dictionary,
    ("collections", "defaultdict"): lambda *unused: Dictionary(),
    ("torch", "Size"): _size,
    ("torch.storage", "UntypedStorage"): "untyped",
    **{("torch", dtype): dtype for dtype in _DTYPES},
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    **{("torch._utils", name): call for name, call in _REBUILDERS.items()},
}
