"""Axial slices of the MNI152 template with grey and white matter: real images and masks that pip brings.

The volume is the average of 152 brains (ICBM 2009a, Fonov et al., 2011), 1 mm a voxel; labels are where its maps of
grey and white matter, which were made from such images, say more than 1/2. Validation slices come from the same volume,
with a gap to those of training: a demo of a pipeline, which says nothing about other brains.
"""

import importlib.util
from pathlib import Path

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.channels import with_channels
from msnoah.data.nifti import read_nifti
from msnoah.errors import DataError

CLASSES = ("background", "other tissue", "grey matter", "white matter")
_PALETTE = ((0, 0, 0), (70, 130, 210), (225, 85, 75), (245, 215, 110))
_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_MAPS = ("t1", "gm", "wm")
_HALF = 127        # of 255: a map's probability 1/2
_VAL_SLICES = 24   # the central ones
_GAP = 4           # slices on each side of them that are in neither split


class BrainSlices:
    """A SegmentationSource held in memory: slices seen from above, the face at the top."""

    def __init__(self, split: str, numbers: np.ndarray, images: np.ndarray, masks: np.ndarray, channels: int):
        """Takes the slices' numbers in the volume (N,), images and masks (N, H, W) uint8."""
        self.classes, self.palette = list(CLASSES), np.array(_PALETTE, np.uint8)
        self._split, self._numbers, self._images, self._masks, self._channels = split, numbers, images, masks, channels

    def __len__(self) -> int:
        return len(self._images)

    def image(self, index: int) -> np.ndarray:
        """One slice, (H, W, channels) uint8."""
        return with_channels(self._images[index], self._channels)

    def mask(self, index: int) -> np.ndarray:
        """Its labels, (H, W) uint8."""
        return self._masks[index]

    def name(self, index: int) -> str:
        """The slice's split and number."""
        return f"MNI152 {self._split} slice {self._numbers[index]}"


def open_mni152(data: DataConfig, split: str) -> BrainSlices:
    """The slices of a split, from nilearn's files or from copies of them in data.path.

    Raises:
        DataError: nilearn is not installed, or its files are not there, damaged, or of different sizes.
    """
    folder = Path(data.path) if data.path else _packaged()
    paths = [folder / _FILE.format(name) for name in _MAPS]
    image, grey, white = (_read_bytes(path) for path in paths)
    if not image.shape == grey.shape == white.shape:
        raise DataError(f"{folder}: volumes of different sizes: {image.shape}, {grey.shape} and {white.shape}")
    labels = np.select([white > _HALF, grey > _HALF, image > 0], [np.uint8(3), np.uint8(2), np.uint8(1)], np.uint8(0))
    numbers = _slices(image, split)
    images, masks = (_seen_from_above(volume[..., numbers]) for volume in (image, labels))
    return BrainSlices(split, numbers, images, masks, data.channels)


def _packaged() -> Path:
    package = importlib.util.find_spec("nilearn")   # found, not imported: only its files are wanted
    if package is None:
        raise DataError("data.source mni152 reads files of nilearn, which is not here: pip install msnoah[demo], "
                        "or set data.path to a folder with its files " + ", ".join(map(_FILE.format, _MAPS)))
    return Path(package.origin).parent / "datasets" / "data"


def _read_bytes(path: Path) -> np.ndarray:
    volume = read_nifti(path)
    if volume.dtype != np.uint8:
        raise DataError(f"{path}: voxels of {volume.dtype}; nilearn's files have bytes")
    return volume


def _slices(image: np.ndarray, split: str) -> np.ndarray:
    """Numbers of a split's slices among those that show anything."""
    shown = np.flatnonzero(image.any((0, 1)))
    start = (len(shown) - _VAL_SLICES) // 2
    if split == "val":
        return shown[start:start + _VAL_SLICES]
    return np.concatenate([shown[:start - _GAP], shown[start + _VAL_SLICES + _GAP:]])


def _seen_from_above(volume: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(volume[:, ::-1].T)   # (X, Y, N) -> (N, Y from front to back, X)
