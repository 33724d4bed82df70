"""Folders of images and masks in their layouts: which files belong together, and what is said of those that do not."""

import numpy as np
import pytest
from PIL import Image

from msnoah.config import DataConfig
from msnoah.data import open_source
from msnoah.errors import DataError

INSIDE = "images/{split}", "masks/{split}"
OUTSIDE = "{split}/images", "{split}/masks"
SIZE = (6, 9)


def write_pair(root, folders, split, stem, value=0, mask_value=0):
    for folder, suffix, mode, number in zip(folders, (".jpg", ".png"), ("RGB", "L"), (value, mask_value)):
        place = root / folder.format(split=split)
        place.mkdir(parents=True, exist_ok=True)
        Image.new(mode, SIZE[::-1], (number,) * 3 if mode == "RGB" else number).save(place / f"{stem}{suffix}")


@pytest.fixture(params=[INSIDE, OUTSIDE], ids=["images/train", "train/images"])
def folder(tmp_path, request):
    """Three pairs to train on and one to validate with; the value of an image is 40 times that of its mask."""
    for split, numbers in (("train", [2, 0, 1]), ("val", [1])):
        for number in numbers:
            write_pair(tmp_path, request.param, split, f"picture.{number}", 40 * number, number)
        images, masks = (tmp_path / part.format(split=split) for part in request.param)
        (images / "._picture.0.jpg").write_text("hidden")
        (images / "notes.txt").write_text("no image")
        Image.new("L", (3, 3)).save(masks / "picture.0_colored.png")   # of no image: left alone
    return tmp_path


def config(path, **kwargs):
    segmentation = kwargs.pop("segmentation", {})
    classes = kwargs.pop("classes", ["sky", "tree", "road"])
    return DataConfig(source="mask_folder", path=str(path), classes=classes, segmentation=segmentation, **kwargs)


def test_images_meet_their_masks(folder):
    train, val = (open_source(config(folder), split) for split in ("train", "val"))
    assert len(train) == 3 and len(val) == 1
    assert [train.mask(number)[0, 0] for number in range(3)] == [0, 1, 2]   # sorted by name
    assert [round(train.image(number).mean() / 40) for number in range(3)] == [0, 1, 2]   # JPEG blurs a little
    assert train.image(0).shape == (*SIZE, 3) and train.mask(0).shape == SIZE and train.mask(0).dtype == np.uint8
    assert train.classes == ["sky", "tree", "road"] and train.palette.shape == (3, 3)
    assert train.name(1).endswith("picture.1.jpg")


def test_a_first_label_may_not_count(folder):
    source = open_source(config(folder, classes=["tree", "road"], segmentation={"reduce_zero_label": True}), "train")
    assert [source.mask(number)[0, 0] for number in range(3)] == [255, 0, 1]


def test_grey_images(folder):
    source = open_source(config(folder, channels=1, mean=[0.5], std=[0.5]), "train")
    assert source.image(2).shape == (*SIZE, 1)


def test_colors_are_numbers_of_the_palette(tmp_path):
    colors = [[0, 0, 0], [255, 255, 255], [9, 8, 7]]
    for split, color in (("train", (255, 255, 255)), ("val", (9, 8, 7))):
        write_pair(tmp_path, INSIDE, split, "x")
        Image.new("RGB", SIZE[::-1], color).save(tmp_path / "masks" / split / "x.png")
    for reduced, classes, labels in ((False, ["a", "b", "c"], [1, 2]), (True, ["b", "c"], [0, 1])):
        segmentation = {"palette": colors, "reduce_zero_label": reduced}
        data = config(tmp_path, classes=classes, segmentation=segmentation)
        sources = [open_source(data, split) for split in ("train", "val")]
        assert [source.mask(0)[0, 0] for source in sources] == labels
        assert sources[0].palette.tolist() == colors[reduced:]


@pytest.mark.parametrize("value, message", [(3, "value 3 at row 0, column 0 is no class; expected 0-2, 255")])
def test_a_class_out_of_range_names_its_file(folder, value, message):
    mask = next(path for path in folder.rglob("picture.0.png") if "train" in path.parts)
    Image.new("L", SIZE[::-1], value).save(mask)
    with pytest.raises(DataError, match=f"{mask}: {message}"):
        open_source(config(folder), "train").mask(0)


def lose_masks(folder):
    for path in folder.rglob("masks"):
        path.rename(path.with_name("labels"))


def lose_a_mask(folder):
    for path in folder.rglob("picture.1.png"):
        path.unlink()


def double_a_mask(folder):
    for path in folder.rglob("picture.1.png"):
        Image.new("L", (3, 3)).save(path.with_suffix(".bmp"))


def lose_images(folder):
    for path in folder.rglob("*.jpg"):
        path.unlink()


@pytest.mark.parametrize("damage, message", [
    (lose_masks, "masks.*: no such folder; expected images in .*, masks of these names in"),
    (lose_a_mask, r"picture.1.jpg: has no mask; expected .*picture.1.png"),
    (double_a_mask, r"picture.1.png: a second mask beside picture.1.bmp; keep one"),
    (lose_images, "images.*: no images"),
])
def test_faults_of_a_folder_are_named(folder, damage, message):
    damage(folder)
    with pytest.raises(DataError, match=message):
        open_source(config(folder), "train")


@pytest.mark.parametrize("kwargs, message", [
    ({"classes": []}, "data.classes has 0 names; a mask_folder needs that of each class, up to 255"),
    ({"classes": list(map(str, range(256)))}, "data.classes has 256 names"),
    ({"segmentation": {"palette": [[0, 0, 0]]}}, "data.segmentation.palette has 1 colours, but data.classes 3 names$"),
    ({"segmentation": {"palette": [[0, 0, 0], [1, 1, 1], [2, 2, 2]], "reduce_zero_label": True}},
     "3 names, and reduce_zero_label takes one more colour"),
])
def test_classes_and_palette_must_fit(folder, kwargs, message):
    with pytest.raises(DataError, match=message):
        open_source(config(folder, **kwargs), "train")


def test_path_is_asked_for():
    for source in ("mask_folder", "ade20k", "coco_stuff", "pascal_context"):
        with pytest.raises(DataError, match=f"data.path is not set; {source} needs the folder that holds"):
            open_source(DataConfig(source=source, segmentation={}), "train")
