"""Mask files of every kind: read as the numbers they hold, or refused by file, value and place."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from msnoah.data.mask_file import plain_table, read_mask, reduced_table, to_labels
from msnoah.errors import DataError

NUMBERS = np.random.default_rng(0).integers(0, 3, (6, 9)).astype(np.uint8)
COLORS = [(10, 20, 30), (250, 0, 10), (0, 20, 30)]
COLORED = np.array(COLORS, np.uint8)[NUMBERS]
OPAQUE = np.full((*NUMBERS.shape, 1), 255, np.uint8)


def with_palette(numbers):
    image = Image.fromarray(numbers, "P")
    image.putpalette([channel for color in COLORS for channel in color])
    return image


def small_png(levels, bits):
    """A grey PNG of fewer than eight bits a pixel, which Pillow reads but does not write."""
    height, width = levels.shape
    rows = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, -bits:].ravel()).tobytes() for row in levels]
    chunks = [(b"IHDR", struct.pack(">2I5B", width, height, bits, 0, 0, 0, 0)),
              (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    packed = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
              for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


KINDS = {
    "grey": (Image.fromarray(NUMBERS), None),
    "palette": (with_palette(NUMBERS), None),
    "palette of two bits": (with_palette(NUMBERS), None),
    "one bit": (Image.fromarray(NUMBERS > 0), None),
    "16 bits": (Image.fromarray(NUMBERS.astype(np.uint16)), None),
    "32 bits": (Image.fromarray(NUMBERS.astype(np.int32), "I"), None),
    "grey and alpha": (Image.fromarray(np.concatenate([NUMBERS[..., None], OPAQUE], 2)), None),
    "grey in three channels": (Image.fromarray(np.repeat(NUMBERS[..., None], 3, 2)), None),
    "colours": (Image.fromarray(COLORED), COLORS),
    "colours and alpha": (Image.fromarray(np.concatenate([COLORED, OPAQUE], 2)), COLORS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_holds_the_same_numbers(tmp_path, kind):
    image, palette = KINDS[kind]
    path = tmp_path / ("mask.tif" if kind == "32 bits" else "mask.png")
    image.save(path, **({"bits": 2} if "two bits" in kind else {}))
    expected = NUMBERS > 0 if kind == "one bit" else NUMBERS
    found = read_mask(path, palette)
    assert np.array_equal(found, expected) and found.dtype.kind in "ui"


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_greys_are_not_spread(tmp_path, bits):
    levels = np.random.default_rng(bits).integers(0, 1 << bits, (5, 8)).astype(np.uint8)
    (tmp_path / "mask.png").write_bytes(small_png(levels, bits))
    assert np.array_equal(read_mask(tmp_path / "mask.png"), levels)


def test_colors_may_come_in_any_order(tmp_path):
    random = np.random.default_rng(1)
    colors = [tuple(map(int, color)) for color in np.unique(random.integers(0, 256, (200, 3)), axis=0)]
    random.shuffle(colors)
    numbers = random.integers(0, len(colors), (20, 30))
    Image.fromarray(np.array(colors, np.uint8)[numbers]).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png", colors), numbers)


def changed(pixels, value):
    pixels = np.array(pixels)
    pixels[4, 7] = value
    return Image.fromarray(pixels)


REFUSALS = {
    "strange colour": (changed(COLORED, (1, 2, 3)), COLORS,
                       r"mask.png: colour \[1, 2, 3\] at row 4, column 7 is none of the 3 of data.segmentation"),
    "grey, but colours are listed": (changed(COLORED, (9, 9, 9)), COLORS, r"\[9, 9, 9\] at row 4, column 7"),
    "colours, none listed": (changed(np.zeros((6, 9, 3), np.uint8), (1, 2, 3)), None,
                             r"mask.png: colour \[1, 2, 3\] at row 4, column 7, but .*palette has none"),
    "transparent": (changed(np.concatenate([COLORED, OPAQUE], 2), (1, 2, 3, 4)), COLORS,
                    "mask.png: alpha 4 at row 4, column 7; a mask must be opaque"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_refusals_name_file_value_and_place(tmp_path, kind):
    image, palette, message = REFUSALS[kind]
    image.save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=message):
        read_mask(tmp_path / "mask.png", palette)


def test_lossy_and_fractional_masks_are_refused(tmp_path):
    Image.fromarray(NUMBERS).save(tmp_path / "mask.jpg")
    with pytest.raises(DataError, match="mask.jpg: a JPEG, which blurs the numbers"):
        read_mask(tmp_path / "mask.jpg")
    Image.fromarray(NUMBERS.astype(np.float32)).save(tmp_path / "mask.tif")
    with pytest.raises(DataError, match="mask.tif: a mask of fractions"):
        read_mask(tmp_path / "mask.tif")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")   # Pillow says so of a TIFF before it gives it up
@pytest.mark.parametrize("keep", [0, 1, 20, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_damaged_masks_are_named(tmp_path, keep, suffix):
    path = tmp_path / f"mask{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 150, (64, 64)).astype(np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(DataError, match=f"mask{suffix}: cannot be read as a mask"):
        read_mask(path)


def test_missing_masks_are_named(tmp_path):
    with pytest.raises(DataError, match="gone.png: cannot be read as a mask: No such file"):
        read_mask(tmp_path / "gone.png")


LABELS = [
    ("plain", plain_table(3), [0, 1, 2, 255], [0, 1, 2, 255]),
    ("reduced", reduced_table(3), [0, 1, 3, 255], [255, 0, 2, 255]),
    ("most classes", plain_table(255), [0, 254, 255], [0, 254, 255]),
    ("most reduced classes", reduced_table(255), [0, 1, 254, 255], [255, 0, 253, 254]),
]


@pytest.mark.parametrize("name, table, numbers, labels", LABELS, ids=[row[0] for row in LABELS])
def test_labels_of_numbers(name, table, numbers, labels):
    found = to_labels(np.array([numbers], np.uint16), table, "x")
    assert found.tolist() == [labels] and found.dtype == np.uint8


@pytest.mark.parametrize("table, number, dtype, expected", [
    (plain_table(150), 150, np.uint8, "0-149, 255"), (reduced_table(150), 151, np.uint8, "0-150, 255"),
    (plain_table(1), 1, np.uint8, "0, 255"), (plain_table(150), 65535, np.uint16, "0-149, 255"),
    (plain_table(150), 70000, np.int32, "0-149, 255"), (plain_table(150), -1, np.int32, "0-149, 255"),
])
def test_a_class_out_of_range_is_named_with_its_place(table, number, dtype, expected):
    numbers = np.zeros((6, 9), dtype)
    numbers[4, 7] = number
    with pytest.raises(DataError, match=f"b.png: value {number} at row 4, column 7 is no class; expected {expected}$"):
        to_labels(numbers, table, "a/b.png")
