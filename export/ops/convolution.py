"""Convolutions in NC... layout."""

from collections.abc import Sequence

from msnoah.errors import ConversionError
from msnoah.export.ops.table import Const, as_tuple, handles

PAD_MODES = ("pad", "same", "valid")
"""Pad mode by the number that function primitives carry."""


def last(values, rank: int) -> tuple[int, ...]:
    """The sizes along the spatial axes, of a value written once for all axes, for each, or with batch and channel
    in front."""
    sizes = as_tuple(values)
    return sizes * rank if len(sizes) == 1 else sizes[-rank:]


Sizes = Sequence[int]


def same_padding(sizes: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> list[int]:
    """Padding of mode 'same', (befores, afters): the output has ceil(size / stride), the odd element goes after."""
    totals = [
        max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def given_padding(pairs: Sequence[int]) -> list[int]:
    """MindSpore's (before, after, before, after, ...) as ONNX's (befores, afters)."""
    return [*pairs[0::2], *pairs[1::2]]


def paddings(g, mode: str, given, sizes, kernel, stride, dilation) -> list[int]:
    """ONNX paddings of a pad mode."""
    if mode.lower() == "same":
        return same_padding(sizes, kernel, stride, dilation)
    return given_padding(as_tuple(given)) if mode.lower() == "pad" else [0] * 2 * len(kernel)


@handles("Conv2D")
def conv2d(
    g, x, weight,
    *, pad_mode: Const, pad_list: Const, stride: Const, dilation: Const, group: Const, format: Const = "NCHW",
):
    _check_layout(g, format)
    return _convolve(g, x, weight, None, pad_mode, pad_list, stride, dilation, group)


@handles("Conv3D")
def conv3d(
    g, x, weight,
    *, pad_mode: Const, pad_list: Const, strides: Const, dilations: Const, groups: Const = 1, format: Const = "NCDHW",
):
    _check_layout(g, format)
    return _convolve(g, x, weight, None, pad_mode, pad_list, strides, dilations, groups)


@handles("DepthwiseConv2dNative")
def depthwise(
    g, x, weight,
    *, pad_mode: Const, pad: Const, stride: Const, dilation: Const, format: Const = "NCHW",
):
    """weight (1, C, kh, kw): one filter for each channel."""
    _check_layout(g, format)
    weight = g.op("Transpose", weight, perm=[1, 0, 2, 3])
    return _convolve(g, x, weight, None, pad_mode, pad, stride, dilation, weight.shape[0])


@handles("Conv1DExt", "Conv2DExt", "Conv3DExt")
def convolve_padded(
    g, x, weight, bias=None, stride: Const = 1, padding: Const = 0, dilation: Const = 1, groups: Const = 1,
):
    """padding is one number for each spatial axis; x may come without batch."""
    pairs = [size for size in last(padding, len(weight.shape) - 2) for _ in range(2)]
    return _convolve_any_batch(g, x, weight, bias, "pad", pairs, stride, dilation, groups)


def convolve_by_mode(g, x, weight, bias, stride, padding: int, dilation, groups):
    """padding is the number of a pad mode."""
    return _convolve_any_batch(g, x, weight, bias, PAD_MODES[padding], (), stride, dilation, groups)


def _convolve_any_batch(g, x, weight, bias, *settings):
    if len(x.shape) == len(weight.shape):
        return _convolve(g, x, weight, bias, *settings)
    return g.op("Squeeze", _convolve(g, g.op("Unsqueeze", x, g.ints(0)), weight, bias, *settings), g.ints(0))


def _check_layout(g, layout: str) -> None:
    if layout not in ("NCHW", "NCDHW"):
        raise ConversionError(f"{g.place}: convolution in layout {layout}; use NCHW or NCDHW")


def _convolve(g, x, weight, bias, pad_mode, pad_list, stride, dilation, group):
    rank = len(weight.shape) - 2
    kernel, stride, dilation = weight.shape[2:], last(stride, rank), last(dilation, rank)
    pads = paddings(g, pad_mode, pad_list, x.shape[2:], kernel, stride, dilation)
    return g.op(
        "Conv", x, weight, bias,
        kernel_shape=list(kernel), strides=list(stride), dilations=list(dilation), pads=pads, group=group)
