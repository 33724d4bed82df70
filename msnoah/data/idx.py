"""Fashion-MNIST (Xiao et al., 2017) in its four IDX files, gzipped or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.array_source import ArraySource
from msnoah.errors import DataError

_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_MAX_BYTES = 1 << 30  # Fashion-MNIST has 47 MB
_PREFIX = {"train": "train", "val": "t10k"}
_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def open_fashion_mnist(data: DataConfig, split: str) -> ArraySource:
    """60,000 images of 28 x 28 for training, 10,000 for validation, from data.path or Debian's package.

    Raises:
        DataError: a file that is missing (with the places looked at and how to get it) or damaged.
    """
    folder = Path(data.path) if data.path else _DEBIAN_FOLDER
    images_path = _find(folder, f"{_PREFIX[split]}-images-idx3-ubyte")
    labels_path = _find(folder, f"{_PREFIX[split]}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, rank=3), read_idx(labels_path, rank=1)
    if len(images) != len(labels):
        raise DataError(f"{labels_path}: {len(labels)} labels, but {images_path.name} holds {len(images)} images")
    if labels.size and labels.max() >= len(_CLASSES):
        raise DataError(f"{labels_path}: label {labels.max()}; Fashion-MNIST has classes 0 to 9")
    return ArraySource(f"Fashion-MNIST {split}", images, labels, _CLASSES, data.channels)


def read_idx(path: Path, rank: int) -> np.ndarray:
    """The uint8 array of an IDX file (magic 0x0800 + rank, big-endian sizes, bytes).

    Raises:
        DataError: not an IDX file of this rank, or one that is cut short.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    header_size = 4 + 4 * rank
    try:
        with opener(path, "rb") as file:
            header = file.read(header_size)
            if len(header) < header_size or struct.unpack(">I", header[:4])[0] != 0x0800 + rank:
                raise DataError(f"{path}: not an IDX file of {rank}-D bytes (it begins with {header[:4].hex() or 'nothing'})")
            shape = struct.unpack(f">{rank}I", header[4:])
            size = math.prod(shape)
            if not 0 < size <= _MAX_BYTES:
                raise DataError(f"{path}: its header says {size} bytes of data; expected 1 to {_MAX_BYTES}")
            content = file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if len(content) < size:
        raise DataError(f"{path}: cut short: {len(content)} bytes of data, its header says {size}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise DataError(
        f"Fashion-MNIST: neither {name}.gz nor {name} in {folder}; `apt-get install dataset-fashion-mnist` puts them in "
        f"{_DEBIAN_FOLDER}, or set data.path to a folder with the four files of github.com/zalandoresearch/fashion-mnist"
    )
