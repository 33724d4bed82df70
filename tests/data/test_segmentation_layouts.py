"""Published data sets in small: their layouts, what their masks' numbers mean, and faults of theirs."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from msnoah.config import DataConfig
from msnoah.data import open_source
from msnoah.data.segmentation_layouts import read_matlab_mask
from msnoah.errors import DataError


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mat":
        savemat(path, {"S": pixels.astype(np.uint16), "names": np.array(["unlabeled"])})
    else:
        Image.fromarray(pixels).save(path)


def write_pairs(root, image, mask, splits, numbers):
    """One pair a split and number, in folders that may name the split; (2, 3) pixels, all of that number."""
    for split in splits:
        for number in numbers:
            write(root / image.format(split=split, number=number), np.zeros((2, 3, 3), np.uint8))
            write(root / mask.format(split=split, number=number), np.full((2, 3), number, np.uint8))


def write_lists(root, path, splits, numbers):
    for split in splits:
        file = root / path.format(split=split)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{split}_{number:03}\n" for number in numbers), encoding="utf-8")


def make_ade(root):
    write_pairs(root / "ADEChallengeData2016", "images/{split}/ADE_{number:03}.jpg",
                "annotations/{split}/ADE_{number:03}.png", ["training", "validation"], [0, 1, 150])


def make_converted_stuff(root):
    write_pairs(root, "images/{split}2014/COCO_{number:03}.jpg",
                "annotations/{split}2014/COCO_{number:03}_labelTrainIds.png", ["train", "test"], [0, 1, 171])


def make_stuff(root):
    write_pairs(root, "images/{split}_{number:03}.jpg", "annotations/{split}_{number:03}.mat", ["train", "test"],
                [0, 1, 11, 13, 92, 182])
    write_lists(root, "imageLists/{split}.txt", ["train", "test"], [0, 1, 11, 13, 92, 182])


def make_context(root):
    root = root / "VOCdevkit" / "VOC2010"
    write_pairs(root, "JPEGImages/{split}_{number:03}.jpg", "SegmentationClassContext/{split}_{number:03}.png",
                ["train", "val"], [0, 1, 59])
    write_lists(root, "ImageSets/SegmentationContext/{split}.txt", ["train", "val"], [0, 1, 59])


# source, what makes it, labels of its masks, number of classes, first and last class, a folder that it is found by too,
# what its splits are called
LAYOUTS = [
    ("ade20k", make_ade, [255, 0, 149], 150, ("wall", "flag"), "ADEChallengeData2016", ("training", "validation")),
    ("coco_stuff", make_converted_stuff, [255, 0, 170], 171, ("person", "wood"), ".", ("train", "test")),
    ("coco_stuff", make_stuff, [255, 0, 10, 11, 80, 170], 171, ("person", "wood"), ".", ("train", "test")),   # no 12
    ("pascal_context", make_context, [255, 0, 58], 59, ("aeroplane", "wood"), "VOCdevkit/VOC2010",
     ("train", "val")),
]


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    "name, make, labels, count, ends, inner, called", LAYOUTS, ids=[row[1].__name__[5:] for row in LAYOUTS])
def test_layouts(tmp_path, name, make, labels, count, ends, inner, called, split):
    make(tmp_path)
    for path in (tmp_path, tmp_path / inner):
        source = open_source(DataConfig(source=name, path=str(path), segmentation={}), split)
        assert [np.unique(source.mask(index)).tolist() for index in range(len(source))] == [[label] for label in labels]
        assert len(set(source.classes)) == count and (source.classes[0], source.classes[-1]) == ends
        assert called[split == "val"] in source.name(0).removeprefix(str(tmp_path))
        assert source.palette.shape == (count, 3) and source.image(0).shape == (2, 3, 3)


@pytest.mark.parametrize("make, name, mask, number, expected", [
    (make_ade, "ade20k", "ADE_000.png", 151, "0-150, 255"),
    (make_stuff, "coco_stuff", "train_000.mat", 12,
     "0-11, 13-25, 27-28, 31-44, 46-65, 67, 70, 72-82, 84-90, 92-182, 255"),
    (make_context, "pascal_context", "train_000.png", 60, "0-59, 255"),
])
def test_numbers_of_no_class_are_named(tmp_path, make, name, mask, number, expected):
    make(tmp_path)
    path = next(path for path in sorted(tmp_path.rglob(mask)))
    write(path, np.full((2, 3), number, np.uint8))
    with pytest.raises(DataError, match=f"{mask}: value {number} at row 0, column 0 is no class; expected {expected}$"):
        open_source(DataConfig(source=name, path=str(tmp_path), segmentation={}), "train").mask(0)


@pytest.mark.parametrize("content, message", [
    (None, "train.txt: cannot be read: No such file or directory; it lists the images"),
    (b"", "train.txt: lists no images"),
    (b"train_000\nelsewhere", "elsewhere.jpg: no such file, but .*train.txt lists it"),
    (b"\xff\xfe", r"train.txt: is no text in UTF-8 \(byte 0\); it lists the images"),
])
def test_faults_of_lists_are_named(tmp_path, content, message):
    make_context(tmp_path)
    listed = next(tmp_path.rglob("train.txt"))
    listed.unlink()
    if content is not None:
        listed.write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_source(DataConfig(source="pascal_context", path=str(tmp_path), segmentation={}), "train")


def test_faults_of_matlab_masks_are_named(tmp_path):
    path = tmp_path / "x.mat"
    for content in (b"", b"text", b"text" * 100):
        path.write_bytes(content)
        with pytest.raises(DataError, match="x.mat: cannot be read as a MATLAB file"):
            read_matlab_mask(path)
    savemat(path, {"S": np.arange(400, dtype=np.uint16).reshape(20, 20)})
    content = path.read_bytes()
    for keep in (130, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:keep])
        with pytest.raises(DataError, match="x.mat: cannot be read as a MATLAB file"):
            read_matlab_mask(path)
    savemat(path, {"S": np.arange(400, dtype=np.uint16).reshape(20, 20)}, do_compression=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="x.mat: cannot be read as a MATLAB file"):
        read_matlab_mask(path)
    savemat(path, {"T": np.zeros((2, 2))})
    with pytest.raises(DataError, match="x.mat: holds no variable S"):
        read_matlab_mask(path)
    savemat(path, {"S": np.zeros((2, 2))})
    with pytest.raises(DataError, match="x.mat: S is 2x2 of float64; expected a map of integers"):
        read_matlab_mask(path)
    with pytest.raises(DataError, match="gone.mat: cannot be read as a MATLAB file"):
        read_matlab_mask(tmp_path / "gone.mat")
