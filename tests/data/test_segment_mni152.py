"""Brain slices: the NIfTI reader on volumes written here, the splits, and nilearn's own files where they are."""

import gzip
import importlib.util
import struct

import numpy as np
import pytest

from msnoah.config import DataConfig
from msnoah.data import open_source
from msnoah.data.nifti import read_nifti
from msnoah.errors import DataError

CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768}
NAMES = [f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz" for name in ("t1", "gm", "wm")]


def nifti(volume, order="<", start=352, rank=3, code=None):
    header = bytearray(start)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, rank, *volume.shape, *[1] * (7 - volume.ndim))
    struct.pack_into(f"{order}h", header, 70, code or CODES[volume.dtype.str[1:]])
    struct.pack_into(f"{order}f", header, 108, start)
    header[344:348] = b"n+1\0"
    return bytes(header) + volume.astype(volume.dtype.newbyteorder(order)).tobytes(order="F")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("suffix, start", [(".nii", 352), (".nii.gz", 400)])
def test_volumes_are_read_back(tmp_path, order, kind, suffix, start):
    volume = np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(kind)
    content = nifti(volume, order, start)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    found = read_nifti(path)
    assert np.array_equal(found, volume) and found.dtype == volume.dtype


VOLUME = np.zeros((3, 4, 5), np.uint8)
DAMAGES = {
    "empty": (b"", "not a NIfTI-1 file"), "text": (b"text" * 200, "not a NIfTI-1 file"),
    "header alone": (nifti(VOLUME)[:352], "cut short: 352 bytes, but 60 voxels of uint8 begin at 352"),
    "cut": (nifti(VOLUME)[:-1], "cut short"), "unknown type": (nifti(VOLUME, code=128), ".*data type 128"),
    "several volumes": (nifti(np.zeros((3, 4, 5, 2), np.uint8), rank=4), r"not one volume .*sizes \[3, 4, 5, 2\]"),
    "a picture": (nifti(np.zeros((3, 4), np.uint8), rank=2), "not one volume"),
    "no rank": (nifti(VOLUME, rank=-1), "not one volume"),
    "no size": (nifti(np.zeros((3, 0, 5), np.uint8)), "not one volume"),
    "start nowhere": (nifti(VOLUME)[:108] + struct.pack("<f", float("nan")) + nifti(VOLUME)[112:], "cut short"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_volumes_are_named(tmp_path, damage):
    content, message = DAMAGES[damage]
    for name, packed in (("x.nii", content), ("x.nii.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(packed)
        with pytest.raises(DataError, match=f"{name}: {message}"):
            read_nifti(tmp_path / name)


def test_unreadable_volumes_are_named(tmp_path):
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(nifti(VOLUME))[:30])
    for name, message in (("x.nii.gz", "cannot be read"), ("gone.nii", "No such file")):
        with pytest.raises(DataError, match=f"{name}.*{message}"):
            read_nifti(tmp_path / name)


@pytest.fixture
def brain(tmp_path):
    """60 slices of 3 x 4, the first two empty; slice z has the level z, and is grey where x = 1, white where y = 3."""
    image = np.broadcast_to(np.arange(60), (3, 4, 60)).astype(np.uint8) * (np.arange(60) > 1)
    grey, white = np.zeros((2, 3, 4, 60), np.uint8)
    grey[1], grey[2], white[:, 3] = 128, 127, 200
    for name, volume in zip(NAMES, (image, grey, white)):
        (tmp_path / name).write_bytes(gzip.compress(nifti(np.asarray(volume, np.uint8), start=352)))
    return tmp_path


def opened(path, split, **kwargs):
    return open_source(DataConfig(source="mni152", path=str(path) if path else None, segmentation={}, **kwargs), split)


def test_splits_keep_a_gap(brain):
    train, val = opened(brain, "train"), opened(brain, "val")
    levels = [[int(source.image(number).max()) for number in range(len(source))] for source in (train, val)]
    assert levels[1] == list(range(19, 43))                       # the central 24 of 2 to 59
    assert levels[0] == [*range(2, 15), *range(47, 60)]           # but 4 on each side
    assert val.name(0) == "MNI152 val slice 19" and train.name(0) == "MNI152 train slice 2"


def test_labels_are_thresholds_of_the_maps(brain):
    source = opened(brain, "val")
    assert source.mask(0).tolist() == [[3, 3, 3], [1, 2, 1], [1, 2, 1], [1, 2, 1]]   # y = 3, the face, at the top
    assert source.image(0).shape == (4, 3, 3) and source.mask(0).dtype == np.uint8
    assert opened(brain, "val", channels=1, mean=[0.5], std=[0.5]).image(0).shape == (4, 3, 1)
    assert source.palette.shape == (4, 3) and source.classes[3] == "white matter"


def test_volumes_that_do_not_fit_are_refused(brain):
    (brain / NAMES[1]).write_bytes(gzip.compress(nifti(np.zeros((3, 4, 59), np.uint8))))
    with pytest.raises(DataError, match=r"volumes of different sizes: \(3, 4, 60\), \(3, 4, 59\) and"):
        opened(brain, "val")
    (brain / NAMES[1]).write_bytes(gzip.compress(nifti(np.zeros((3, 4, 60), np.float32))))
    with pytest.raises(DataError, match=f"{NAMES[1]}: voxels of float32; nilearn's files have bytes"):
        opened(brain, "val")


def test_without_nilearn_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"nilearn, which is not here: pip install msnoah\[demo\], or set data.path"):
        opened(None, "train")


@pytest.mark.skipif(importlib.util.find_spec("nilearn") is None, reason="nilearn is not installed here")
def test_slices_of_nilearn():
    train, val = opened(None, "train"), opened(None, "val")
    assert (len(train), len(val)) == (123, 24) and train.image(0).shape == (233, 197, 3)
    shares = np.bincount(np.concatenate([val.mask(number).ravel() for number in range(24)])) / (24 * 233 * 197)
    assert shares == pytest.approx([0.557, 0.038, 0.233, 0.172], abs=5e-4)   # of the volumes as nibabel reads them
