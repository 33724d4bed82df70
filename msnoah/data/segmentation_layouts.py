"""ADE20K, COCO-Stuff and Pascal Context as they are published, or as mmsegmentation's tools lay them out."""

import zlib
from pathlib import Path

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.class_names import ADE20K, COCO_STUFF, PASCAL_CONTEXT
from msnoah.data.mask_file import plain_table, read_mask, reduced_table
from msnoah.data.palette import class_colors
from msnoah.data.segment_folder import Pair, SegmentFolder, pair_folders, required_path
from msnoah.data.text_file import read_text
from msnoah.errors import DataError, describe_failure

_ADE_SPLITS = {"train": "training", "val": "validation"}
_STUFF_SPLITS = {"train": "train", "val": "test"}
_CONVERTED_ENDING = "_labelTrainIds"
_UNUSED_STUFF = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)   # of COCO's numbers 1 to 182
_STUFF_TOTAL = 182
_DAMAGES = (OSError, ValueError, TypeError, IndexError, MemoryError, OverflowError, NotImplementedError)


def open_ade20k(data: DataConfig, split: str) -> SegmentFolder:
    """ADE20K's 150 classes (Zhou et al., 2017): images/{training,validation}/*.jpg, annotations/.../*.png.

    data.path is ADEChallengeData2016 or the folder that holds it. 0 of a mask does not count.

    Raises:
        DataError: data.path is not set, no such folders, or an image without a mask.
    """
    root, part = _inside(required_path(data, "ADEChallengeData2016"), "ADEChallengeData2016"), _ADE_SPLITS[split]
    pairs = pair_folders(root / "images" / part, root / "annotations" / part)
    return _source(pairs, ADE20K, reduced_table(len(ADE20K)), data)


def open_coco_stuff(data: DataConfig, split: str) -> SegmentFolder:
    """COCO-Stuff-10K's 171 classes (Caesar et al., 2018), in one of two layouts; 0 of a mask does not count.

    As published: imageLists/{train,test}.txt, images/*.jpg and annotations/*.mat with COCO's numbers, 11 of which are
    not in use. As converted: images/{train,test}2014/*.jpg and annotations/.../*_labelTrainIds.png with 1 to 171.

    Raises:
        DataError: data.path is not set, neither layout, or an image without a mask.
    """
    root, part = required_path(data, "images/ and annotations/"), _STUFF_SPLITS[split]
    images, masks, listed = root / "images", root / "annotations", root / "imageLists" / f"{part}.txt"
    if (images / f"{part}2014").is_dir():
        pairs = pair_folders(images / f"{part}2014", masks / f"{part}2014", _CONVERTED_ENDING)
        return _source(pairs, COCO_STUFF, reduced_table(len(COCO_STUFF)), data)
    pairs = _pair_list(listed, images, masks, ".mat")
    return _source(pairs, COCO_STUFF, _stuff_table(), data, read_matlab_mask)


def open_pascal_context(data: DataConfig, split: str) -> SegmentFolder:
    """Pascal Context's 59 classes (Mottaghi et al., 2014); 0, the background, does not count.

    data.path is VOC2010 or holds VOCdevkit/VOC2010, with ImageSets/SegmentationContext/{train,val}.txt,
    JPEGImages/*.jpg and SegmentationClassContext/*.png (numbers 0 to 59, as mmsegmentation's tool writes them).

    Raises:
        DataError: data.path is not set, no such list, or a listed image or mask that is not there.
    """
    root = _inside(required_path(data, "VOCdevkit/VOC2010"), "VOCdevkit/VOC2010")
    listed = root / "ImageSets" / "SegmentationContext" / f"{split}.txt"
    pairs = _pair_list(listed, root / "JPEGImages", root / "SegmentationClassContext", ".png")
    return _source(pairs, PASCAL_CONTEXT, reduced_table(len(PASCAL_CONTEXT)), data)


def read_matlab_mask(path: Path) -> np.ndarray:
    """The numbers in S of a MATLAB file, (H, W) of an integer type; DataError if there is no such variable or file."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        mask = loadmat(path, variable_names=["S"])["S"]
    except KeyError as error:
        raise DataError(f"{path}: holds no variable S, in which COCO-Stuff has its mask") from error
    except (MatReadError, zlib.error, *_DAMAGES) as error:
        raise DataError(f"{path}: cannot be read as a MATLAB file: {describe_failure(error)}") from error
    if mask.ndim != 2 or mask.dtype.kind not in "ui":
        raise DataError(f"{path}: S is {'x'.join(map(str, mask.shape))} of {mask.dtype}; expected a map of integers")
    return mask


def _stuff_table() -> np.ndarray:
    numbers = [number for number in range(1, _STUFF_TOTAL + 1) if number not in _UNUSED_STUFF]
    table = plain_table(0)
    table[0] = table[-1]
    table[numbers] = np.arange(len(numbers))
    return table


def _inside(path: Path, folder: str) -> Path:
    return path / folder if (path / folder).is_dir() else path


def _pair_list(listed: Path, images: Path, masks: Path, suffix: str) -> list[Pair]:
    stems = read_text(listed, "it lists the images of the split").split()
    if not stems:
        raise DataError(f"{listed}: lists no images")
    pairs = [Pair(images / f"{stem}.jpg", masks / f"{stem}{suffix}") for stem in stems]
    missing = next((path for pair in pairs for path in (pair.image, pair.mask) if not path.is_file()), None)
    if missing:
        raise DataError(f"{missing}: no such file, but {listed} lists it")
    return pairs


def _source(
    pairs: list[Pair], classes: tuple[str, ...], table: np.ndarray, data: DataConfig, read=read_mask,
) -> SegmentFolder:
    return SegmentFolder(pairs, classes, class_colors(len(classes)), table, data.channels, read)
