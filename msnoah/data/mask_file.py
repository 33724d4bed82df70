"""Masks of classes as image files hold them: grey levels, indices of a palette, 16-bit numbers, or colours."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from msnoah.errors import DataError, describe_failure

IGNORE = 255   # the label of pixels that do not count
MOST_CLASSES = IGNORE
_NO_CLASS = -1
_OPAQUE = 255
_SPREAD = {"L;2": 85, "L;4": 17}   # Pillow spreads grey levels of two and four bits over 0-255
_DAMAGES = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)

Color = tuple[int, int, int]


def read_mask(path: Path, palette: Sequence[Color] | None = None) -> np.ndarray:
    """The numbers that a mask holds, (H, W) of an integer type: what they mean is the data set's affair.

    Of an image with a colour table the indices count; opaque alpha is dropped. Colours become their places in
    `palette`; without one, only grey ones (R = G = B) can be read, as their levels.

    Raises:
        DataError: no whole image, a JPEG (which blurs numbers), transparent pixels, or a colour that is not listed.
    """
    image, spread = _open(path)
    pixels = np.asarray(image)
    if image.mode in ("LA", "PA", "RGBA"):
        _check_opaque(pixels[..., -1], path)
        pixels = pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
    if pixels.ndim == 3:
        return _numbers_of_colors(pixels, palette, path)
    if pixels.dtype.kind == "f":
        raise DataError(f"{path}: a mask of fractions ({image.mode}); expected whole numbers of 8 or 16 bits")
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels // spread if spread > 1 else pixels


def plain_table(classes: int) -> np.ndarray:
    """Labels by number where numbers are labels: 0 to classes - 1, and 255."""
    table = np.full(256, _NO_CLASS, np.int16)
    table[:classes] = np.arange(classes)
    table[IGNORE] = IGNORE
    return table


def reduced_table(classes: int) -> np.ndarray:
    """Labels by number where 1 is the first class, and 0 does not count, nor 255 unless it is a class."""
    table = np.full(256, _NO_CLASS, np.int16)
    table[[0, IGNORE]] = IGNORE
    table[1:classes + 1] = np.arange(classes)
    return table


def to_labels(numbers: np.ndarray, table: np.ndarray, path: Path) -> np.ndarray:
    """(H, W) numbers of a mask -> (H, W) uint8 labels.

    Raises:
        DataError: a number without a label; the message gives it and its first place.
    """
    inside = np.clip(numbers, 0, len(table) - 1)
    labels = table[inside]
    wrong = (labels == _NO_CLASS) | (inside != numbers)
    if wrong.any():
        row, column = _first(wrong)
        raise DataError(f"{path}: value {numbers[row, column]} at row {row}, column {column} is no class; "
                        f"expected {_describe(table)}")
    return labels.astype(np.uint8)


def _open(path: Path) -> tuple[Image.Image, int]:
    """A decoded image, and by how much its levels are spread."""
    try:
        image = Image.open(path)
        layout = image.tile[0][3] if image.tile else None
        image.load()
    except _DAMAGES as error:
        reason = getattr(error, "strerror", None) or describe_failure(error)
        raise DataError(f"{path}: cannot be read as a mask: {reason}") from error
    if image.format == "JPEG":
        raise DataError(f"{path}: a JPEG, which blurs the numbers of classes; expected a file without loss, as PNG")
    return image, _SPREAD.get(layout, 1) if isinstance(layout, str) else 1


def _check_opaque(alpha: np.ndarray, path: Path) -> None:
    if (alpha != _OPAQUE).any():
        row, column = _first(alpha != _OPAQUE)
        raise DataError(f"{path}: alpha {alpha[row, column]} at row {row}, column {column}; a mask must be opaque, "
                        "with 255 for pixels that do not count")


def _numbers_of_colors(colors: np.ndarray, palette: Sequence[Color] | None, path: Path) -> np.ndarray:
    if palette is None:
        tinted = (colors != colors[..., :1]).any(2)
        if tinted.any():
            raise DataError(f"{path}: colour {_color_at(colors, tinted)}, but data.segmentation.palette has none; "
                            "give that of each class, in order")
        return colors[..., 0]
    codes, known = _codes(colors), _codes(np.array(palette))
    order = np.argsort(known)
    places = np.minimum(np.searchsorted(known, codes, sorter=order), len(known) - 1)
    numbers = order[places].astype(np.uint16)
    strange = known[numbers] != codes
    if strange.any():
        raise DataError(f"{path}: colour {_color_at(colors, strange)} is none of the {len(known)} of "
                        "data.segmentation.palette")
    return numbers


def _codes(colors: np.ndarray) -> np.ndarray:
    return colors.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)   # (..., 3) -> (...)


def _color_at(colors: np.ndarray, where: np.ndarray) -> str:
    row, column = _first(where)
    return f"{colors[row, column].tolist()} at row {row}, column {column}"


def _first(where: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(where.argmax(), where.shape)
    return int(row), int(column)


def _describe(table: np.ndarray) -> str:
    """The numbers that have labels, as '0-150, 255'."""
    known = np.flatnonzero(table != _NO_CLASS)
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
