"""Primitives that read, write or keep diagonals of matrices, and triangles."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.creation import scalar
from msnoah.export.ops.reduction import reduce
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.slicing import diagonal_of
from msnoah.export.ops.table import Const, as_tuple, handles


def _keep(g, x, mask: np.ndarray):
    """x where a known mask is true, zero elsewhere: also where x is infinite, unlike a product."""
    if x.dtype == bool:
        return g.op("And", x, mask)
    return g.op("Where", mask, x, np.zeros((), x.dtype))


def _band(shape, lower: int | None, upper: int | None) -> np.ndarray:
    """True on the diagonals from lower below to upper above the main one; None for all on that side."""
    offset = np.arange(shape[-1]) - np.arange(shape[-2]).reshape(-1, 1)
    above = offset <= upper if upper is not None else np.ones_like(offset, bool)
    return above & (offset >= -lower) if lower is not None else above


@handles("Tril")
def lower_triangle(g, x, *, diagonal: Const = 0):
    return _keep(g, x, _band(x.shape, None, diagonal))


@handles("TrilExt")
def lower_triangle_from(g, x, diagonal: Const = 0):
    return _keep(g, x, _band(x.shape, None, diagonal))


@handles("Triu")
def upper_triangle_from(g, x, diagonal: Const = 0):
    return _keep(g, x, _band(x.shape, -diagonal, None))


@handles("MatrixBandPart")
def band_part(g, x, lower: Const, upper: Const):
    """A negative number keeps the whole triangle."""
    lower, upper = (None if number < 0 else number for number in (*as_tuple(lower), *as_tuple(upper)))
    return _keep(g, x, _band(x.shape, lower, upper))


def _fill_diagonal(g, x, value, wrap: bool):
    mask = np.zeros(x.shape, bool)
    np.fill_diagonal(mask, True, wrap)
    return g.op("Where", mask, scalar(g, value, x.dtype), x)


@handles("FillDiagonal")
def fill_diagonal(g, x, *, fill_value: Const, wrap: Const = False):
    return _fill_diagonal(g, x, fill_value, wrap)


@handles("InplaceFillDiagonal")
def fill_diagonal_of(g, x, fill_value: Const, wrap: Const = False):
    return _fill_diagonal(g, x, fill_value, wrap)


@handles("Diag")
def diag(g, x):
    """A tensor on the diagonal of one of twice its rank, zeros elsewhere."""
    flat = reshape(g, x, (-1,))
    return reshape(g, _keep(g, flat, np.eye(flat.shape[0], dtype=bool)), (*x.shape, *x.shape))


@handles("DiagPart")
def diag_part(g, x):
    """The diagonal of a tensor of twice the rank."""
    shape = x.shape[:len(x.shape) // 2]
    count = int(np.prod(shape))
    return reshape(g, diagonal_of(g, reshape(g, x, (count, count)), 0, 0, 1), shape)


@handles("DiagExt")
def diag_or_matrix(g, x, diagonal: Const = 0):
    """A vector onto a diagonal, or the diagonal of a matrix."""
    if len(x.shape) == 2:
        return diagonal_of(g, x, diagonal, 0, 1)
    size = x.shape[0] + abs(diagonal)
    return _spread(g, x, _Bands((diagonal, diagonal), size, size, "LEFT_LEFT"), np.zeros((), x.dtype))


@handles("Trace", "TraceExt")
def trace(g, x):
    return _sum_last(g, diagonal_of(g, x, 0, 0, 1))


@handles("TraceV2")
def trace_of_axes(g, x, offset: Const = 0, axis1: Const = 1, axis2: Const = 0, dtype: Const = None):
    return _sum_last(g, diagonal_of(g, cast(g, x, g.type.dtype), offset, axis1, axis2))


def _sum_last(g, x):
    return reduce(g, "ReduceSum", cast(g, x, g.type.dtype), (-1,), False)


class _Bands:
    """Where the elements of diagonals k[0]..k[1] stand in a matrix, and in the rows (k[1] first) that hold them; a
    short diagonal lies at the left or the right of its row, as `align` says ('above_below')."""

    def __init__(self, k: tuple[int, int], rows: int, columns: int, align: str):
        self.shape = (rows, columns)
        self.offsets = range(k[1], k[0] - 1, -1)
        lengths = [min(rows + min(d, 0), columns - max(d, 0)) for d in self.offsets]
        self.width = max(lengths)
        above, below = align.split("_")
        self.held = np.full(self.shape, -1, np.int64)                        # Place in the rows, by matrix element.
        self.taken = np.full((len(self.offsets), self.width), -1, np.int64)  # Matrix element, by place in the rows.
        for row, (d, length) in enumerate(zip(self.offsets, lengths, strict=True)):
            right = (above if d >= 0 else below) == "RIGHT"
            places = np.arange(length) + (self.width - length if right else 0)
            i, j = np.arange(length) + max(-d, 0), np.arange(length) + max(d, 0)
            self.held[i, j] = row * self.width + places
            self.taken[row, places] = i * columns + j


def _spread(g, diagonals, bands: _Bands, elsewhere):
    """Diagonals (..., D, L) or (..., L) -> matrices (..., rows, columns) with another tensor elsewhere."""
    front = len(diagonals.shape) - (2 if len(bands.offsets) > 1 else 1)
    flat = reshape(g, diagonals, (*diagonals.shape[:front], -1))
    matrices = g.op("Gather", flat, np.maximum(bands.held, 0), axis=front)
    return g.op("Where", bands.held >= 0, matrices, elsewhere)


def _offsets(k) -> tuple[int, int]:
    k = as_tuple(k)
    return k[0], k[-1]


@handles("MatrixDiagV3")
def matrix_diag(g, x, k: Const, rows: Const, columns: Const, value, *, align: Const = "RIGHT_LEFT"):
    """Diagonals (..., L) or (..., D, L) -> (..., rows, columns)"""
    bands = _Bands(_offsets(k), *g.type.shape[-2:], align)
    if bands.width != x.shape[-1]:
        raise ConversionError(f"{g.place}: diagonals of length {x.shape[-1]} do not fit {list(bands.shape)}")
    return _spread(g, x, bands, scalar(g, value, x.dtype))


@handles("MatrixDiagPartV3")
def matrix_diag_part(g, x, k: Const, value, *, align: Const = "RIGHT_LEFT"):
    """(..., rows, columns) -> its diagonals, (..., L) or (..., D, L)"""
    bands = _Bands(_offsets(k), *x.shape[-2:], align)
    taken = bands.taken if len(bands.offsets) > 1 else bands.taken[0]
    flat = reshape(g, x, (*x.shape[:-2], -1))
    rows = g.op("Gather", flat, np.maximum(taken, 0), axis=len(x.shape) - 2)
    return rows if taken.min() >= 0 else g.op("Where", taken >= 0, rows, scalar(g, value, x.dtype))


@handles("MatrixSetDiagV3")
def matrix_set_diag(g, x, diagonals, k: Const, *, align: Const = "RIGHT_LEFT", max_length: Const = None):
    return _spread(g, diagonals, _Bands(_offsets(k), *x.shape[-2:], align), x)


@handles("MatrixDiag")
def matrix_diag_by_mask(g, x, assist: Const):
    """(..., L) -> (..., L, L); `assist` is the identity."""
    return _spread(g, x, _Bands((0, 0), *assist.shape[-2:], "LEFT_LEFT"), np.zeros((), x.dtype))


@handles("MatrixDiagPart")
def matrix_diag_part_by_mask(g, x, assist: Const):
    return diagonal_of(g, x, 0, -2, -1)


@handles("MatrixSetDiag")
def matrix_set_diag_by_mask(g, x, diagonals, assist: Const):
    return _spread(g, diagonals, _Bands((0, 0), *x.shape[-2:], "LEFT_LEFT"), x)


@handles("Cross")
def cross(g, x, y, dim: Const = -65530):
    """The vector product along an axis of size 3: the first one where none is given."""
    axis = next(a for a, size in enumerate(x.shape) if size == 3) if dim == -65530 else dim
    first, second = np.array([1, 2, 0]), np.array([2, 0, 1])

    def product(left, right):
        return g.op("Mul", g.op("Gather", x, left, axis=axis), g.op("Gather", y, right, axis=axis))

    return g.op("Sub", product(first, second), product(second, first))
