"""Pooling and resizing in NC... layout."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.convolution import last, paddings
from msnoah.export.ops.table import Const, as_tuple, handles

PAD_MODES = ("pad", "same", "valid")
"""Pad mode by the number that function primitives carry."""


@handles("MaxPool")
def max_pool(g, x, *, kernel_size: Const, strides: Const, pad_mode: Const, format: Const = "NCHW"):
    return _pool(g, "MaxPool", x, kernel_size, strides, pad_mode, format)


@handles("AvgPool")
def average_pool(g, x, kernel_size: Const, strides: Const, pad_mode: Const, data_format: Const = 0):
    """Padding does not count: at the border the mean is over the elements that are there."""
    return _pool(g, "AveragePool", x, kernel_size, strides, PAD_MODES[pad_mode], "NCHW" if data_format == 0 else "NHWC")


def _pool(g, operator: str, x, kernel_size, strides, pad_mode, layout):
    if layout != "NCHW":
        raise ConversionError(f"{g.scope}: pooling in layout {layout}; use NCHW")
    kernel, stride = last(kernel_size, 2), last(strides, 2)
    pads = paddings(g, pad_mode, (), x.shape[2:], kernel, stride, (1, 1))
    return g.op(operator, x, kernel_shape=list(kernel), strides=list(stride), pads=pads)


@handles("AvgPool2D")
def average_pool_2d(
    g, x, kernel_size: Const, stride: Const = None, padding: Const = 0, ceil_mode: Const = False,
    count_include_pad: Const = True, divisor_override: Const = None,
):
    if divisor_override is not None:
        raise ConversionError(
            f"{g.scope}: average pooling with divisor_override {divisor_override} has no ONNX form "
            "here")
    kernel = last(kernel_size, 2)
    return g.op(
        "AveragePool", x,
        kernel_shape=list(kernel), strides=list(last(stride or kernel, 2)), pads=[*last(padding, 2)] * 2,
        ceil_mode=int(ceil_mode), count_include_pad=int(count_include_pad))


@handles("MaxPool3DWithArgmax")
def max_pool_3d(
    g, x, *, ksize: Const, strides: Const, pads: Const, dilation: Const = (1, 1, 1), ceil_mode: Const = False,
    format: Const = "NCDHW",
):
    """Also returns the positions, which ONNX numbers otherwise."""
    y = g.op(
        "MaxPool", x, kernel_shape=list(last(ksize, 3)), strides=list(last(strides, 3)), pads=[*last(pads, 3)] * 2,
        dilations=list(last(dilation, 3)), ceil_mode=int(ceil_mode))
    return (y, None)


@handles("AdaptiveAvgPool2D")
def adaptive_average_pool(g, x, *, output_size: Const):
    """(B, C, H, W) -> (B, C, *output_size), for sizes that divide H and W; None keeps a size."""
    return adaptive_average_pool_to(g, x, output_size)


@handles("AdaptiveAvgPool2DExt")
def adaptive_average_pool_to(g, x, output_size: Const):
    """(B, C, H, W) -> (B, C, *output_size), for sizes that divide H and W."""
    target = g.type.shape[-2:]
    if any(size % out for size, out in zip(x.shape[-2:], target, strict=True)):
        raise ConversionError(
            f"{g.scope}: adaptive pooling of {x.shape[-2:]} to {target}; only divisors have an ONNX form "
            "here")
    kernel = [size // out for size, out in zip(x.shape[-2:], target, strict=True)]
    return g.op("AveragePool", x, kernel_shape=kernel, strides=kernel)


def _resize(g, x, size, mode: str, transformation: str, **attributes):
    sizes = g.ints(*x.shape[:2], *as_tuple(size))
    return g.op("Resize", x, None, None, sizes, mode=mode, coordinate_transformation_mode=transformation, **attributes)


@handles("ResizeLinear1D")
def resize_linear_1d(g, x, size: Const, coordinate_transformation_mode: Const = 1):
    """(B, C, L) -> (B, C, size). As two gathers and a weighted sum with known weights: exact, and fast in every
    runtime."""
    rows = x.shape[-1]
    target = as_tuple(size)[0]
    position = _positions(g, rows, target, coordinate_transformation_mode)
    low = np.clip(np.floor(position).astype(np.int64), 0, rows - 1)
    high = np.clip(low + 1, 0, rows - 1)
    weight = (position - low).astype(x.dtype)
    left = g.op("Mul", g.op("Gather", x, low, axis=2), (1 - weight).astype(x.dtype))
    return g.op("Add", left, g.op("Mul", g.op("Gather", x, high, axis=2), weight))


def _positions(g, rows: int, target: int, mode) -> np.ndarray:
    steps = np.arange(target, dtype=np.float64)
    if mode == 1:
        return steps * ((rows - 1) / (target - 1) if target > 1 else 0)
    if mode == 2:
        return np.clip((steps + 0.5) * (rows / target) - 0.5, 0, rows - 1)
    raise ConversionError(f"{g.scope}: linear resize with coordinates {mode}; known: align_corners (1), half_pixel (2)")


@handles("ResizeBilinearV2")
def resize_bilinear(g, x, size: Const, align_corners: Const = False, half_pixel_centers: Const = False):
    transformation = "align_corners" if align_corners else "half_pixel" if half_pixel_centers else "asymmetric"
    return _resize(g, x, size, "linear", transformation)


@handles("UpsampleBilinear2D")
def upsample_bilinear(g, x, output_size: Const = None, scales: Const = None, align_corners: Const = False):
    return _resize(g, x, g.type.shape[2:], "linear", "align_corners" if align_corners else "half_pixel")


@handles("ResizeNearestNeighbor")
def resize_nearest(g, x, size: Const, align_corners: Const = False, half_pixel_centers: Const = False):
    if align_corners:
        return _resize(g, x, size, "nearest", "align_corners", nearest_mode="round_prefer_ceil")
    return _resize(g, x, size, "nearest", "asymmetric", nearest_mode="floor")
