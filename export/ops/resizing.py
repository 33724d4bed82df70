"""Resizing in NC... layout: gathers of known elements, products with known matrices, or ONNX's Resize.

Positions are computed in float32, as MindSpore does: where they fall between two elements, the last bit decides.
"""

import math

import numpy as np

from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.linear import multiply_axis
from msnoah.export.ops.table import Const, as_tuple, handles

RESIZED_TYPES = (np.float32, np.float16, np.uint8, np.int8, np.int32)
"""What ONNX Runtime's Resize takes; others are resized in float32."""


def _resize(g, x, size, mode: str, transformation: str, scales=None, **attributes):
    """ONNX's Resize of the axes after the second, to sizes, or by scales that the positions are computed from.

    By scales wherever they are whole: no batch is in them, and ONNX Runtime resizes blocked layouts by scales alone.
    """
    if not scales and _is_multiple(size, x.shape[2:]):
        scales = [out // rows for out, rows in zip(size, x.shape[2:], strict=True)]
    resized = x if x.dtype in RESIZED_TYPES else cast(g, x, np.dtype(np.float32))
    by = (np.array([1, 1, *scales], np.float32), None) if scales else (None, g.ints(*x.shape[:2], *size))
    y = g.op("Resize", resized, None, *by, mode=mode, coordinate_transformation_mode=transformation, **attributes)
    return cast(g, y, x.dtype)


@handles("ResizeLinear1D")
def resize_linear_1d(g, x, size: Const, coordinate_transformation_mode: Const = 1):
    """(B, C, L) -> (B, C, size), as two gathers and a weighted sum with known weights: exact, and fast in every
    runtime. coordinate_transformation_mode: 1 is align_corners, 2 is half_pixel."""
    target = as_tuple(size)[0]
    position = _linear_positions(x.shape[-1], target, coordinate_transformation_mode == 1)
    return _interpolate(g, x, position if target > 1 else position * 0)


def _interpolate(g, x, position: np.ndarray):
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, x.shape[-1] - 1)
    weight = (position - low).astype(x.dtype)
    left = g.op("Mul", g.op("Gather", x, low, axis=2), (1 - weight).astype(x.dtype))
    return g.op("Add", left, g.op("Mul", g.op("Gather", x, high, axis=2), weight))


def _linear_positions(rows: int, target: int, align_corners: bool, scale: float | None = None) -> np.ndarray:
    return np.clip(_positions(rows, target, align_corners, scale), 0, rows - 1)


def _positions(rows: int, target: int, align_corners: bool, scale: float | None) -> np.ndarray:
    """Where each new element lies: from corner to corner, or centre by centre."""
    steps = np.arange(target, dtype=np.float64)
    if align_corners:
        return steps * ((rows - 1) / (target - 1) if target > 1 else 0)
    return (steps + 0.5) * (1 / scale if scale else rows / target) - 0.5


@handles("UpsampleLinear1D")
def upsample_linear_1d(
    g, x, output_size: Const = None, scales: Const = None, align_corners: Const = False,
):
    scale = scales[0] if scales else None
    return _interpolate(g, x, _linear_positions(x.shape[-1], g.type.shape[-1], align_corners, scale))


@handles("ResizeBilinearV2")
def resize_bilinear(g, x, size: Const, align_corners: Const = False, half_pixel_centers: Const = False):
    transformation = "align_corners" if align_corners else "half_pixel" if half_pixel_centers else "asymmetric"
    return _resize(g, x, as_tuple(size), "linear", transformation)


@handles("UpsampleBilinear2D", "UpsampleTrilinear3D")
def upsample_linear(g, x, output_size: Const = None, scales: Const = None, align_corners: Const = False):
    return _resize(g, x, g.type.shape[2:], "linear", "align_corners" if align_corners else "half_pixel", scales)


@handles("ResizeNearestNeighbor")
def resize_nearest_at_corners(g, x, size: Const, align_corners: Const = False, half_pixel_centers: Const = False):
    """MindSpore's kernel takes half_pixel_centers and does nothing with it."""
    return resize_nearest(g, x, size, align_corners)


@handles("ResizeNearestNeighborV2")
def resize_nearest(g, x, size: Const, align_corners: Const = False, half_pixel_centers: Const = False):
    size = as_tuple(size)
    if not align_corners and _is_multiple(size, x.shape[2:]):
        return _resize(g, x, size, "nearest", "asymmetric", nearest_mode="floor")
    for axis, target in enumerate(size, 2):
        x = _gather(g, x, axis, _nearest(x.shape[axis], target, align_corners, half_pixel_centers))
    return x


def _is_multiple(size, sizes) -> bool:
    return not any(out % rows for out, rows in zip(size, sizes, strict=True))


def _nearest(rows: int, target: int, align_corners: bool, half_pixel: bool) -> np.ndarray:
    steps = np.arange(target, dtype=np.float32)
    if align_corners:
        scale = np.float32(rows - 1) / np.float32(target - 1) if target > 1 else np.float32(0)
        return np.floor(steps * scale + np.float32(0.5))
    return np.floor((steps + np.float32(0.5 * half_pixel)) * (np.float32(rows) / np.float32(target)))


def _gather(g, x, axis: int, positions: np.ndarray):
    index = np.minimum(positions, x.shape[axis] - 1).astype(np.int64)
    return x if np.array_equal(index, np.arange(x.shape[axis])) else g.op("Gather", x, index, axis=axis)


@handles("UpsampleNearest1D", "UpsampleNearest2D", "UpsampleNearest3D")
def upsample_nearest(g, x, output_size: Const = None, scales: Const = None):
    size = g.type.shape[2:]
    if scales is None or all(scale == out / rows for scale, out, rows in zip(scales, size, x.shape[2:], strict=True)):
        return resize_nearest(g, x, size)
    for axis, (target, scale) in enumerate(zip(size, scales, strict=True), 2):
        x = _gather(g, x, axis, np.floor(np.arange(target, dtype=np.float32) * (np.float32(1) / np.float32(scale))))
    return x


@handles("UpsampleBicubic2D")
def upsample_bicubic(g, x, output_size: Const = None, scales: Const = None, align_corners: Const = False):
    """The curve of a = -3/4; the border's element stands for those beyond it. As products, since ONNX Runtime's cubic
    Resize takes 40 times as long."""
    for axis, target in enumerate(g.type.shape[2:], 2):
        rows, scale = x.shape[axis], scales[axis - 2] if scales else None
        position = _positions(rows, target, align_corners, scale)
        low = np.floor(position)
        x = multiply_axis(g, x, axis, _cubic_matrix(rows, low, position - low, -0.75, True).astype(x.dtype))
    return x


@handles("ResizeBicubic")
def resize_bicubic(g, x, size: Const, align_corners: Const = False, half_pixel_centers: Const = False):
    """With half_pixel_centers the curve of a = -1/2, where elements beyond the border do not count; else that of
    a = -3/4, where the border's element stands for them."""
    for axis, target in enumerate(as_tuple(size), 2):
        rows, half = x.shape[axis], np.float32(0.5 * half_pixel_centers)
        scale = (rows - 1) / (target - 1) if align_corners and target > 1 else rows / target
        position = (np.arange(target, dtype=np.float32) + half) * np.float32(scale) - half
        low = np.floor(position)
        fraction = np.rint((position - low) * CUBIC_STEPS) / CUBIC_STEPS
        curve = (-0.5, False) if half_pixel_centers else (-0.75, True)
        x = multiply_axis(g, x, axis, _cubic_matrix(rows, low, fraction, *curve).astype(x.dtype))
    return x


CUBIC_STEPS = 1024
"""MindSpore's kernel reads the weights of a bicubic resize from a table of so many fractions of an element."""


def _cubic_matrix(rows: int, low: np.ndarray, fraction: np.ndarray, a: float, beyond: bool) -> np.ndarray:
    """(target, rows): weights of the four elements around low + fraction; those beyond the border count as the
    border's element, or not at all."""
    target = len(low)
    matrix = np.zeros((target, rows))
    for offset in (-1, 0, 1, 2):
        index = (low + offset).astype(np.int64)
        counts = np.ones(target, bool) if beyond else (index >= 0) & (index < rows)
        weight = _cubic(np.abs(offset - fraction), a) * counts
        np.add.at(matrix, (np.arange(target), np.clip(index, 0, rows - 1)), weight)
    return matrix / matrix.sum(1, keepdims=True)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Cubic convolution (Keys 1981)."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, far)


@handles("ResizeArea")
def resize_area(g, x, size: Const, *, align_corners: Const = False):
    """(B, H, W, C) -> (B, *size, C) in float32: means over what each new element covers of the old ones."""
    x = cast(g, x, np.dtype(np.float32))
    for axis, target in enumerate(as_tuple(size), 1):
        x = multiply_axis(g, x, axis, _area_matrix(x.shape[axis], target, align_corners).astype(np.float32))
    return x


def _area_matrix(rows: int, target: int, align_corners: bool) -> np.ndarray:
    scale = (rows - 1) / (target - 1) if align_corners and target > 1 else rows / target
    begin = np.arange(target)[:, None] * scale
    element = np.arange(rows + math.ceil(scale))
    covered = np.clip(np.minimum(begin + scale, element + 1) - np.maximum(begin, element), 0, None) / scale
    covered[:, rows - 1] += covered[:, rows:].sum(1)   # Beyond the border lies its last element.
    return covered[:, :rows]
