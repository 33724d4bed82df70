import gzip
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from msnoah.config import DataConfig
from msnoah.data import open_source
from msnoah.data.channels import with_channels
from msnoah.data.idx import _DEBIAN_FOLDER, read_idx
from msnoah.data.image_folder import read_image
from msnoah.errors import DataError

GREY = {"channels": 1, "mean": [0.5], "std": [0.5]}
EXIF_ORIENTATION = 0x0112


@pytest.fixture
def folder(tmp_path):
    """ImageNet's layout: two classes, an ignored text file and a hidden one."""
    for split, name, count in (("train", "cat", 3), ("train", "dog", 2), ("val", "dog", 1)):
        place = tmp_path / split / name
        place.mkdir(parents=True)
        for number in range(count):
            pixels = np.full((10, 12, 3), 40 * number + 10, np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.{'png' if number else 'JPEG'}")
        (place / "notes.txt").write_text("no image")
        (place / "._0.jpg").write_text("no image")
    return tmp_path


def write_idx(path, array):
    content = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def fashion(tmp_path):
    """The four files in small; labels gzipped, images not."""
    for prefix, count in (("train", 6), ("t10k", 3)):
        images = np.arange(count * 28 * 28).reshape(count, 28, 28) % 251
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count))
    return tmp_path


def test_digits_split_is_stratified_and_fixed():
    train, val = (open_source(DataConfig(source="digits", **GREY), split) for split in ("train", "val"))
    assert len(train) + len(val) == 1797
    per_class = np.bincount(val.labels) / (np.bincount(val.labels) + np.bincount(train.labels))
    assert np.all(abs(per_class - 0.2) < 0.005)  # a fifth of each class, rounded down
    assert val.image(0).shape == (8, 8, 1) and val.image(0).dtype == np.uint8 and val.labels.dtype == np.int32
    assert max(train.image(i).max() for i in range(20)) == 255  # 16 of 16 grey levels is white


def test_digits_without_scikit_learn_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"pip install msnoah\[demo\]"):
        open_source(DataConfig(source="digits", **GREY), "train")


def test_image_folder_reads_its_layout(folder):
    train = open_source(DataConfig(source="image_folder", path=str(folder)), "train")
    assert train.classes == ["cat", "dog"] and train.labels.tolist() == [0, 0, 0, 1, 1]
    assert train.image(1).shape == (10, 12, 3) and train.image(1)[0, 0].tolist() == [50, 50, 50]
    val = open_source(DataConfig(source="image_folder", path=str(folder)), "val")
    assert val.classes == ["cat", "dog"] and val.labels.tolist() == [1]  # val has no cat; the labels are still train's


def test_image_folder_takes_its_classes_from_the_config(folder):
    data = DataConfig(source="image_folder", path=str(folder), classes=["dog", "cat", "emu"])
    assert open_source(data, "train").labels.tolist() == [0, 0, 1, 1, 1]


def break_nothing_there(folder):
    return folder / "elsewhere"


def break_no_val(folder):
    (folder / "val").rename(folder / "validation")
    return folder


def break_unknown_class(folder):
    (folder / "val" / "emu").mkdir()
    return folder


def break_flat(folder):
    for place in (folder / "val").iterdir():
        place.rename(folder / place.name)
    return folder


def break_empty(folder):
    for image in (folder / "val" / "dog").glob("0.*"):
        image.unlink()
    return folder


@pytest.mark.parametrize("damage, message", [
    (break_nothing_there, r"elsewhere/val: no such folder; expected .*/val/<class>"),
    (break_no_val, r"/val: no such folder; expected"),
    (break_unknown_class, r"emu: class 'emu' is none of the 2 classes: cat, dog"),
    (break_flat, r"/val: holds no class folders"),
    (break_empty, r"/val: no images"),
])
def test_image_folder_says_what_it_expects(folder, damage, message):
    with pytest.raises(DataError, match=message):
        open_source(DataConfig(source="image_folder", path=str(damage(folder))), "val")


def test_path_is_asked_for():
    for source in ("image_folder", "cifar10"):
        with pytest.raises(DataError, match="data.path is not set"):
            open_source(DataConfig(source=source), "train")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("keep", [0, 1, 30, 0.5, 0.99])
def test_truncated_image_names_its_file(tmp_path, suffix, keep):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = cv2.imencode(suffix, noise)[1].tobytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[:keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(DataError, match=f"cut{suffix}"):
        read_image(path, 3)


def test_unreadable_image_names_its_file(tmp_path):
    with pytest.raises(DataError, match="gone.jpg: cannot be read: No such file"):
        read_image(tmp_path / "gone.jpg", 3)


@pytest.mark.parametrize("orientation, corner", [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_exif_orientation_turns_the_image_upright(tmp_path, orientation, corner):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :8] = 255  # a white corner, top left as stored
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    image = read_image(tmp_path / "turned.jpg", 3)
    assert image.shape == ((16, 32, 3) if orientation in (1, 3) else (32, 16, 3))
    assert image[corner].min() > 200 and sum(image[y, x].min() > 200 for y in (0, -1) for x in (0, -1)) == 1


@pytest.mark.parametrize("mode, color, expected", [
    ("RGB", (200, 30, 60), (200, 30, 60)), ("L", 77, (77, 77, 77)), ("RGBA", (200, 30, 60, 255), (200, 30, 60)),
    ("P", 0, (0, 0, 0)), ("I;16", 256 * 77, (77, 77, 77)),
])
def test_every_png_mode_becomes_rgb(tmp_path, mode, color, expected):
    Image.new(mode, (5, 4), color).save(tmp_path / "image.png")
    image = read_image(tmp_path / "image.png", 3)
    assert image.shape == (4, 5, 3) and tuple(image[0, 0]) == expected
    assert read_image(tmp_path / "image.png", 1).shape == (4, 5, 1)


def test_grey_is_pillows_luma():
    pixels = np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8)
    luma = np.asarray(Image.fromarray(pixels).convert("L")).astype(int)
    assert abs(with_channels(pixels, 1)[:, :, 0].astype(int) - luma).max() <= 1  # both round a fixed-point sum


def test_fashion_mnist_from_its_four_files(fashion):
    source = open_source(DataConfig(source="fashion_mnist", path=str(fashion), **GREY), "val")
    assert len(source) == 3 and source.classes[2] == "Pullover" and source.labels.tolist() == [0, 1, 2]
    assert source.image(0)[0, :3, 0].tolist() == [0, 1, 2]
    rgb = open_source(DataConfig(source="fashion_mnist", path=str(fashion)), "train")
    assert rgb.image(5).shape == (28, 28, 3)


def test_fashion_mnist_elsewhere_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=f"in {tmp_path}; `apt-get install dataset-fashion-mnist`.*data.path"):
        open_source(DataConfig(source="fashion_mnist", path=str(tmp_path)), "train")


@pytest.mark.skipif(not _DEBIAN_FOLDER.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed here")
def test_fashion_mnist_of_debian():
    train, val = (open_source(DataConfig(source="fashion_mnist", **GREY), split) for split in ("train", "val"))
    assert np.bincount(train.labels).tolist() == [6000] * 10 and np.bincount(val.labels).tolist() == [1000] * 10


@pytest.mark.parametrize("content, message", [
    (b"", "not an IDX file"),
    (b"\x00\x00\x08\x01" + struct.pack(">I", 2) + b"ab", "not an IDX file of 3-D"),
    (struct.pack(">4I", 0x0803, 2, 28, 28) + b"abc", "cut short: 3 bytes of data, its header says 1568"),
    (struct.pack(">4I", 0x0803, *[2**32 - 1] * 3) + b"abc", "its header says 79228162458924105385300197375 bytes"),
])
def test_damaged_idx_is_refused(tmp_path, content, message):
    for name, packed in (("raw", content), ("packed.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(packed)
        with pytest.raises(DataError, match=message):
            read_idx(tmp_path / name, rank=3)


@pytest.mark.parametrize("content", [b"text", gzip.compress(b"\x00\x00\x08\x03" + bytes(500))[:20]], ids=["no gzip", "cut"])
def test_damaged_gzip_is_refused(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match="x.gz"):
        read_idx(tmp_path / "x.gz", rank=3)


def test_labels_that_do_not_fit_are_refused(fashion):
    data = DataConfig(source="fashion_mnist", path=str(fashion), **GREY)
    write_idx(fashion / "t10k-labels-idx1-ubyte.gz", np.arange(4))
    with pytest.raises(DataError, match="4 labels, but .* holds 3 images"):
        open_source(data, "val")
    write_idx(fashion / "t10k-labels-idx1-ubyte.gz", np.array([1, 2, 10]))
    with pytest.raises(DataError, match="label 10"):
        open_source(data, "val")


def test_unknown_split_is_refused():
    with pytest.raises(DataError, match="unknown split 'test' of digits"):
        open_source(DataConfig(source="digits", **GREY), "test")
