"""Images and their masks on disk, paired by the stems of their names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.image_folder import image_files, read_image
from msnoah.data.mask_file import MOST_CLASSES, plain_table, read_mask, reduced_table, to_labels
from msnoah.data.palette import class_colors
from msnoah.errors import DataError


@dataclass(frozen=True)
class Pair:
    """An image file and its mask."""

    image: Path
    mask: Path


class SegmentFolder:
    """A SegmentationSource of files; they are decoded when asked for."""

    def __init__(self, pairs: list[Pair], classes: Sequence[str], palette: np.ndarray, table: np.ndarray, channels: int,
                 read: Callable[[Path], np.ndarray] = read_mask):
        """Takes pairs of files, classes and colours (K, 3), the labels of a mask's numbers, and what reads a mask."""
        self.classes, self.palette = list(classes), palette
        self._pairs, self._table, self._channels, self._read = pairs, table, channels, read

    def __len__(self) -> int:
        return len(self._pairs)

    def image(self, index: int) -> np.ndarray:
        """One decoded image, (H, W, channels) uint8; DataError names a file that is not a whole image."""
        return read_image(self._pairs[index].image, self._channels)

    def mask(self, index: int) -> np.ndarray:
        """Its labels, (H, W) uint8, 255 for what does not count; DataError names a file that is no such mask."""
        path = self._pairs[index].mask
        return to_labels(self._read(path), self._table, path)

    def name(self, index: int) -> str:
        """The image's path."""
        return str(self._pairs[index].image)


def open_mask_folder(data: DataConfig, split: str) -> SegmentFolder:
    """A split of path/images/{train,val} and path/masks/{train,val}, or of path/{train,val}/images and .../masks.

    Masks hold the numbers of data.classes, from 0 on (with reduce_zero_label from 1 on) or colours of the palette; 255
    does not count, so a mask of 0 and 255 for two classes needs a palette and colours.

    Raises:
        DataError: no such folders, no images, an image without a mask, or classes and palette that do not fit.
    """
    root, config = required_path(data, "images/ and masks/"), data.segmentation
    count = len(data.classes)
    if not 0 < count <= MOST_CLASSES:
        raise DataError(f"data.classes has {count} names; a mask_folder needs that of each class, up to {MOST_CLASSES}")
    colors, skipped = config.palette, int(config.reduce_zero_label)
    if colors and len(colors) != count + skipped:
        raise DataError(f"data.segmentation.palette has {len(colors)} colours, but data.classes {count} names"
                        + (", and reduce_zero_label takes one more colour" if skipped else ""))
    palette = np.array(colors[skipped:], np.uint8) if colors else class_colors(count)
    table = reduced_table(count) if skipped else plain_table(count)
    pairs = pair_folders(*_split_folders(root, split))
    return SegmentFolder(pairs, data.classes, palette, table, data.channels, lambda path: read_mask(path, colors))


def required_path(data: DataConfig, holds: str) -> Path:
    """data.path; DataError if it is not set."""
    if not data.path:
        raise DataError(f"data.path is not set; {data.source} needs the folder that holds {holds}")
    return Path(data.path)


def pair_folders(images: Path, masks: Path, ending: str = "") -> list[Pair]:
    """Each image of a folder and the mask whose stem is the image's with `ending` behind it, sorted.

    Raises:
        DataError: a folder that is not there, no images, or an image with no mask or with two.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; expected images in {images}, masks of these names in {masks}")
    by_stem = _by_stem(masks)
    files = image_files(images)
    if not files:
        raise DataError(f"{images}: no images")
    missing = next((path for path in files if path.stem + ending not in by_stem), None)
    if missing:
        raise DataError(f"{missing}: has no mask; expected {masks / missing.stem}{ending}.png")
    return [Pair(path, by_stem[path.stem + ending]) for path in files]


def _by_stem(masks: Path) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in image_files(masks):
        if path.stem in by_stem:
            raise DataError(f"{path}: a second mask beside {by_stem[path.stem].name}; keep one")
        by_stem[path.stem] = path
    return by_stem


def _split_folders(root: Path, split: str) -> tuple[Path, Path]:
    inside = root / split / "images", root / split / "masks"
    return inside if inside[0].is_dir() else (root / "images" / split, root / "masks" / split)
