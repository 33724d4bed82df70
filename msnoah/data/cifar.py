"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): the Python or the binary version, as a folder or as its .tar.gz."""

import dataclasses
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.array_source import ArraySource
from msnoah.errors import DataError
from msnoah.pickled_arrays import load_arrays
from msnoah.restricted_pickle import PickleFault

_IMAGE_BYTES = 3 * 32 * 32
ReadFile = Callable[[str], bytes]


@dataclasses.dataclass(frozen=True)
class _Layout:
    """The files of one version of one data set; `archive` is the usual name of its .tar.gz."""

    folder: str
    archive: str
    splits: dict[str, tuple[str, ...]]
    names_file: str
    labels_key: bytes = b""  # Python version
    names_key: bytes = b""  # Python version
    label_bytes: int = 1  # binary version: the last of them is the label

    @property
    def is_binary(self) -> bool:
        return not self.labels_key


_CIFAR10 = (
    _Layout("cifar-10-batches-py", "cifar-10-python.tar.gz",
            {"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "val": ("test_batch",)},
            "batches.meta", b"labels", b"label_names"),
    _Layout("cifar-10-batches-bin", "cifar-10-binary.tar.gz",
            {"train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)), "val": ("test_batch.bin",)}, "batches.meta.txt"),
)
_CIFAR100 = (
    _Layout("cifar-100-python", "cifar-100-python.tar.gz", {"train": ("train",), "val": ("test",)},
            "meta", b"fine_labels", b"fine_label_names"),
    _Layout("cifar-100-binary", "cifar-100-binary.tar.gz", {"train": ("train.bin",), "val": ("test.bin",)},
            "fine_label_names.txt", label_bytes=2),
)


def open_cifar10(data: DataConfig, split: str) -> ArraySource:
    """CIFAR-10: 50,000 images of 32 x 32 for training, 10,000 for validation; DataError says what is missing or damaged."""
    return _open("CIFAR-10", _CIFAR10, data, split)


def open_cifar100(data: DataConfig, split: str) -> ArraySource:
    """CIFAR-100 with its 100 fine classes, in the same sizes; DataError says what is missing or damaged."""
    return _open("CIFAR-100", _CIFAR100, data, split)


def _open(name: str, layouts: tuple[_Layout, ...], data: DataConfig, split: str) -> ArraySource:
    if not data.path:
        raise DataError(f"data.path is not set; {name} needs the folder or archive it was downloaded to ({_expected(layouts)})")
    layout, place = _locate(name, layouts, Path(data.path))
    names = layout.splits[split]
    files = _read_archive(place, (*names, layout.names_file)) if place.is_file() else _read_folder(place, (*names, layout.names_file))
    read = _read_records if layout.is_binary else _read_pickled
    parts = [read(files[file], layout, f"{place}/{file}") for file in names]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    classes = _class_names(files[layout.names_file], layout, f"{place}/{layout.names_file}")
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(classes):
        raise DataError(f"{place}: labels {labels.min()} to {labels.max()}, but {layout.names_file} names {len(classes)} classes")
    images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)   # (N, 3072) -> (N, 32, 32, 3)
    return ArraySource(f"{name} {split}", np.ascontiguousarray(images), labels, classes, data.channels)


def _expected(layouts: tuple[_Layout, ...]) -> str:
    return ", ".join(f"{layout.folder}/ or {layout.archive}" for layout in layouts)


def _locate(name: str, layouts: tuple[_Layout, ...], path: Path) -> tuple[_Layout, Path]:
    """The first version that lies at `path`, itself or inside it, and its folder or archive."""
    for layout in layouts:
        for place in (path, path / layout.folder, path / layout.archive):
            if (place / layout.names_file).is_file() or (place.name == layout.archive and place.is_file()):
                return layout, place
    raise DataError(f"{path}: holds no {name}; expected {_expected(layouts)} in it (from www.cs.toronto.edu/~kriz/cifar.html)")


def _read_folder(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    try:
        return {name: (folder / name).read_bytes() for name in names}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _read_archive(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The wanted files of a .tar.gz, read in memory: nothing is unpacked to the disk."""
    found = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in names and member.isfile():
                    found[name] = archive.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole .tar.gz: {error}") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{path}: holds no {missing[0]}")
    return found


def _read_records(content: bytes, layout: _Layout, where: str) -> tuple[np.ndarray, np.ndarray]:
    size = layout.label_bytes + _IMAGE_BYTES
    if not content or len(content) % size:
        raise DataError(f"{where}: {len(content)} bytes are no whole number of {size}-byte records; the file is cut short or not CIFAR")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return records[:, layout.label_bytes:], records[:, layout.label_bytes - 1].astype(np.int32)


def _read_pickled(content: bytes, layout: _Layout, where: str) -> tuple[np.ndarray, np.ndarray]:
    batch = _unpickle(content, where)
    images, labels = batch.get(b"data"), batch.get(layout.labels_key)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != _IMAGE_BYTES or not isinstance(labels, list):
        raise DataError(f"{where}: holds no 'data' of {_IMAGE_BYTES} bytes an image with '{layout.labels_key.decode()}'")
    if len(labels) != len(images) or not all(isinstance(label, int) for label in labels):
        raise DataError(f"{where}: {len(labels)} labels for {len(images)} images; expected one integer an image")
    return images, np.array(labels, np.int32)


def _class_names(content: bytes, layout: _Layout, where: str) -> list[str]:
    if layout.is_binary:
        return content.decode("ascii", "replace").split()
    names = _unpickle(content, where).get(layout.names_key)
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise DataError(f"{where}: holds no list '{layout.names_key.decode()}'")
    return [name.decode("ascii", "replace") for name in names]


def _unpickle(content: bytes, where: str) -> dict:
    """A CIFAR pickle's dictionary with bytes keys; nothing that the pickle names is imported or called."""
    try:
        batch = load_arrays(content)
    except PickleFault as fault:
        raise DataError(f"{where}: {fault}") from fault
    if not isinstance(batch, dict):
        raise DataError(f"{where}: holds a {type(batch).__name__}, expected CIFAR's dictionary")
    return {key.encode() if isinstance(key, str) else key: value for key, value in batch.items()}
