"""Image folders in ImageNet's layout: path/train/<class>/*.jpg and path/val/<class>/*.jpg."""

from pathlib import Path

import cv2
import numpy as np

from msnoah.config import DataConfig
from msnoah.data.channels import with_channels
from msnoah.errors import DataError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
_READ_FLAGS = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}  # both turn the image as its EXIF orientation says


class ImageFolder:
    """One split on disk; images are decoded when asked for."""

    def __init__(self, folder: Path, classes: list[str], channels: int):
        """Lists the files of every class that the split has; DataError if it holds none."""
        self.classes, self._channels = classes, channels
        self._paths, labels = [], []
        for label, name in enumerate(classes):
            files = image_files(folder / name)
            self._paths += files
            labels += [label] * len(files)
        if not self._paths:
            raise DataError(f"{folder}: no images in its class folders; known suffixes: {' '.join(sorted(_SUFFIXES))}")
        self.labels = np.array(labels, np.int32)

    def __len__(self) -> int:
        return len(self._paths)

    def image(self, index: int) -> np.ndarray:
        """One decoded image, (H, W, channels) uint8; DataError names a file that is not a whole image."""
        return read_image(self._paths[index], self._channels)

    def name(self, index: int) -> str:
        """The image's path."""
        return str(self._paths[index])


def open_image_folder(data: DataConfig, split: str) -> ImageFolder:
    """A split of an image folder. Classes are data.classes if given, else the sorted folder names of train/.

    Raises:
        DataError: no such folder, no class folders, or a validation class that training does not know.
    """
    if not data.path:
        raise DataError("data.path is not set; an image_folder needs the folder that holds train/ and val/")
    root = Path(data.path)
    folder = root / split
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected {root}/train/<class>/*.jpg and {root}/val/<class>/*.jpg")
    found = _class_names(folder)
    known = data.classes or (_class_names(root / "train") if (root / "train").is_dir() else found)
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise DataError(f"{folder / unknown[0]}: class '{unknown[0]}' is none of the {len(known)} classes: {_listed(known)}")
    return ImageFolder(folder, list(known), data.channels)


def read_image(path: Path, channels: int, *, upright: bool = True) -> np.ndarray:
    """Decodes an image file to (H, W, channels) uint8, RGB or grey; if `upright`, turned as its EXIF orientation says.

    Raises:
        DataError: the file cannot be read, or is not a whole image.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        flags = _READ_FLAGS[channels] | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
        image = cv2.imdecode(content, flags) if content.size else None
    except cv2.error as error:
        raise DataError(f"{path}: cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(f"{path}: not a whole image ({content.size} bytes); the file is damaged or of another kind")
    return with_channels(image if channels == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB), channels)


def _class_names(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise DataError(f"{folder}: holds no class folders; expected {folder}/<class>/*.jpg")
    return names


def image_files(folder: Path) -> list[Path]:
    """The images of a folder by their suffix, sorted, without hidden ones; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_image(path) and not path.name.startswith("."))


def is_image(path: Path) -> bool:
    """Whether a file's suffix is that of an image."""
    return path.suffix.lower() in _SUFFIXES


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
