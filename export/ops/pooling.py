"""Pooling with a sliding window, in NC... layout."""

import math

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.convolution import PAD_MODES, given_padding, last, paddings
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.table import Const, handles


@handles("MaxPool")
def max_pool(g, x, *, kernel_size: Const, strides: Const, pad_mode: Const, format: Const = "NCHW"):
    kernel, stride = _check_layout(g, format, kernel_size, strides)
    return _maximum(g, x, kernel, stride, paddings(g, pad_mode, (), x.shape[2:], kernel, stride, (1, 1)))


@handles("MaxPool3D")
def max_pool_3d(g, x, *, kernel_size: Const, strides: Const, pad_list: Const):
    """`pad_list` holds the padding whatever the pad mode is, and `ceil_mode` shows in the declared size."""
    return _maximum(g, x, last(kernel_size, 3), last(strides, 3), given_padding(pad_list))


@handles("MaxPool3DWithArgmax")
def max_pool_3d_with_positions(g, x, *, ksize: Const, strides: Const, pads: Const, dilation: Const = (1, 1, 1)):
    settings = last(ksize, 3), last(strides, 3), [*last(pads, 3)] * 2, last(dilation, 3)
    return _maximum(g, x, *settings), _positions(g, x, *settings)


@handles("MaxPoolWithArgmaxV2")
def max_pool_2d_with_positions(
    g, x, *, kernel_size: Const, strides: Const, pads: Const, dilation: Const = (1, 1, 1, 1),
):
    settings = last(kernel_size, 2), last(strides, 2), [*last(pads, 2)] * 2, last(dilation, 2)
    return _maximum(g, x, *settings), _positions(g, x, *settings)


@handles("MaxPoolWithArgmax")
def max_pool_by_mode_with_positions(g, x, *, ksize: Const, strides: Const, pad_mode: Const):
    """Kernel and strides have the form (1, height, width, 1), though x is (B, C, H, W)."""
    settings = ksize[1:3], strides[1:3], paddings(g, pad_mode, (), x.shape[2:], ksize[1:3], strides[1:3], (1, 1))
    if any(settings[2]):
        # MindSpore's own kernel shifts the windows here.
        raise ConversionError(f"{g.place}: MaxPoolWithArgmax with padding; use MaxPoolWithArgmaxV2")
    return _maximum(g, x, *settings), _positions(g, x, *settings, first_axis=1)


@handles("MaxPoolWithIndices")
def max_pool_with_indices(
    g, x, kernel_size: Const, strides: Const = None, pads: Const = 0, dilation: Const = 1, ceil_mode: Const = False,
    argmax_type: Const = None,
):
    kernel = last(kernel_size, 2)
    settings = kernel, last(strides or kernel, 2), [*last(pads, 2)] * 2, last(dilation, 2)
    return _maximum(g, x, *settings), _positions(g, x, *settings)


@handles("MaxPoolWithMask")
def max_pool_with_mask(
    g, x, kernel_size: Const, strides: Const = None, pads: Const = 0, dilation: Const = 1, ceil_mode: Const = False,
    argmax_type: Const = None,
):
    """The mask, bits in an order that belongs to one kind of chip, has no ONNX form."""
    kernel = last(kernel_size, 2)
    y = _maximum(g, x, kernel, last(strides or kernel, 2), [*last(pads, 2)] * 2, last(dilation, 2))
    return y, None


def _maximum(g, x, kernel, stride, pads, dilation=None):
    shape = _result_shape(g)
    x, attributes = _window(g, x, shape, kernel, stride, pads, dilation)
    return reshape(g, g.op("MaxPool", x, **attributes), shape)


def _positions(g, x, kernel, stride, pads, dilation=None, first_axis=2):
    """Positions of the maxima, counted from first_axis on; ONNX counts through the whole tensor. A MaxPool of their
    own, since a kernel that returns them is slower, and most graphs leave them unused."""
    shape, dtype = g.type[1].shape, g.type[1].dtype
    x, attributes = _window(g, x, shape, kernel, stride, pads, dilation)
    _, counted = g.op("MaxPool", x, outputs=2, **attributes)
    within = g.op("Mod", counted, np.array(math.prod(x.shape[first_axis:]), np.int64))
    return cast(g, reshape(g, within, shape), dtype)


def _result_shape(g) -> tuple[int, ...]:
    return (g.type[0] if isinstance(g.type, tuple) else g.type).shape


def _window(g, x, shape, kernel, stride, pads, dilation):
    """x with a batch axis, and the window as ONNX takes it. Where the declared size is that of ceil_mode, the last
    window gets the padding that it needs: runtimes differ in what they make of ceil_mode."""
    rank = len(kernel)
    sizes, dilation, first = x.shape[-rank:], dilation or (1,) * rank, _count_flat(x, kernel, pads)
    needed = [
        (out - 1) * s + d * (k - 1) + 1 - size - before
        for out, s, d, k, size, before in zip(shape[-rank:], stride, dilation, kernel, sizes, pads[:rank], strict=True)]
    x = reshape(g, x, (-1, x.shape[-rank - 1], *sizes[first:])) if first or len(x.shape) == rank + 1 else x
    befores, afters, needed = pads[first:rank], pads[rank + first:], needed[first:]
    attributes = {"kernel_shape": list(kernel[first:]), "strides": list(stride[first:]), "pads": [*befores, *afters]}
    if set(dilation) == {1}:
        attributes["pads"] = [*befores, *map(max, afters, needed)]
    else:   # A dilated window may need more padding than runtimes take.
        exceeds = any(map(int.__gt__, needed, afters))
        attributes |= {"dilations": list(dilation[first:]), "ceil_mode": int(exceeds)}
    return x, attributes


def _count_flat(x, kernel, pads) -> int:
    """How many of three axes a pooling need not look at: MindSpore pools images as volumes of depth 1."""
    rank, count = len(kernel), 0
    while rank == 3 and count < 2 and x.shape[count - rank] == kernel[count] == 1 and not any(pads[count::rank]):
        count += 1
    return count


def _check_layout(g, layout: str, kernel, stride) -> tuple:
    if layout != "NCHW":
        raise ConversionError(f"{g.place}: pooling in layout {layout}; use NCHW")
    return last(kernel, 2), last(stride, 2)


@handles("AvgPool")
def average_pool(g, x, kernel_size: Const, strides: Const, pad_mode: Const, data_format: Const = 0):
    """Padding does not count: at the border the mean is over the elements that are there."""
    kernel, stride = _check_layout(g, "NCHW" if data_format == 0 else "NHWC", kernel_size, strides)
    pads = paddings(g, PAD_MODES[pad_mode], (), x.shape[2:], kernel, stride, (1, 1))
    return _average(g, x, kernel, stride, pads, False, None)


@handles("AvgPool3D")
def average_pool_3d(
    g, x,
    *, kernel_size: Const, strides: Const, pad_list: Const, count_include_pad: Const = True,
    divisor_override: Const = 0,
):
    """`pad_list` holds the padding whatever the pad mode is."""
    pads = given_padding(pad_list)
    return _average(g, x, last(kernel_size, 3), last(strides, 3), pads, count_include_pad, divisor_override)


@handles("AvgPool1D")
def average_pool_1d(
    g, x, kernel_size: Const, stride: Const = None, padding: Const = 0, ceil_mode: Const = False,
    count_include_pad: Const = True,
):
    return _average_padded(g, 1, x, kernel_size, stride, padding, count_include_pad, None)


@handles("AvgPool2D")
def average_pool_2d(
    g, x, kernel_size: Const, stride: Const = None, padding: Const = 0, ceil_mode: Const = False,
    count_include_pad: Const = True, divisor_override: Const = None,
):
    return _average_padded(g, 2, x, kernel_size, stride, padding, count_include_pad, divisor_override)


@handles("AvgPool3DExt")
def average_pool_3d_padded(
    g, x, kernel_size: Const, stride: Const = None, padding: Const = 0, ceil_mode: Const = False,
    count_include_pad: Const = True, divisor_override: Const = None,
):
    return _average_padded(g, 3, x, kernel_size, stride, padding, count_include_pad, divisor_override)


def _average_padded(g, rank: int, x, kernel, stride, padding, count_padding, divisor):
    kernel = last(kernel, rank)
    return _average(g, x, kernel, last(stride or kernel, rank), [*last(padding, rank)] * 2, count_padding, divisor)


def _average(g, x, kernel, stride, pads, count_padding: bool, divisor: int | None):
    """Means over windows. ONNX divides by the size of the window, with padding or without; where something else is to
    divide, the quotient of the two is a known factor."""
    shape, size, rank = _result_shape(g), math.prod(kernel), len(kernel)
    batched, attributes = _window(g, x, shape, kernel, stride, pads, None)
    y = g.op("AveragePool", batched, count_include_pad=int(bool(count_padding or divisor)), **attributes)
    if divisor:
        y = g.op("Mul", y, g.like(size / divisor, x))
    elif count_padding and sum(attributes["pads"]) != sum(pads):
        counts = _window_sizes(x.shape[-rank:], shape[-rank:], kernel, stride, pads)
        y = g.op("Mul", y, (size / counts).astype(x.dtype))
    return reshape(g, y, shape)


def _window_sizes(sizes, outs, kernel, stride, pads) -> np.ndarray:
    """Elements in each window, padding included but not what lies beyond it."""
    counts = np.ones((), np.int64)
    for size, out, k, s, before, after in zip(
            sizes, outs, kernel, stride, pads[:len(sizes)], pads[len(sizes):], strict=True):
        first = np.arange(out) * s - before
        counts = counts[..., None] * (np.minimum(first + k, size + after) - first)
    return counts


@handles("MaxUnpool2D", "MaxUnpool3D")
def max_unpool(g, x, positions, *, ksize: Const):
    """Each x at its position within the channel, zeros elsewhere."""
    return _scatter(g, x, positions, g.type.shape, len(ksize) - 2)


@handles("MaxUnpool2DExt")
def max_unpool_padded(
    g, x, positions, kernel_size: Const = None, stride: Const = None, padding: Const = 0, output_size: Const = None,
):
    return _scatter(g, x, positions, g.type.shape, 2)


def _scatter(g, x, positions, shape, rank: int):
    lead = shape[:-rank]
    zeros = np.zeros((*lead, math.prod(shape[-rank:])), x.dtype)
    flat = reshape(g, x, (*lead, -1)), reshape(g, positions, (*lead, -1))
    return reshape(g, g.op("ScatterElements", zeros, flat[1], flat[0], axis=len(lead)), shape)
