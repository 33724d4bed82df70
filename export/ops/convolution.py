"""Convolutions in NC... layout."""

from collections.abc import Sequence

from msnoah.errors import ConversionError
from msnoah.export.ops.table import Const, as_tuple, handles


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
    return _convolve(g, 2, x, weight, pad_mode, pad_list, stride, dilation, group, format)


@handles("Conv3D")
def conv3d(
    g, x, weight,
    *, pad_mode: Const, pad_list: Const, strides: Const, dilations: Const, groups: Const = 1, format: Const = "NCDHW",
):
    return _convolve(g, 3, x, weight, pad_mode, pad_list, strides, dilations, groups, format)


def _convolve(g, rank: int, x, weight, pad_mode, pad_list, stride, dilation, group, layout):
    if layout not in ("NCHW", "NCDHW"):
        raise ConversionError(f"{g.scope}: convolution in layout {layout}; use NCHW or NCDHW")
    kernel, stride, dilation = weight.shape[2:], last(stride, rank), last(dilation, rank)
    pads = paddings(g, pad_mode, pad_list, x.shape[2:], kernel, stride, dilation)
    return g.op(
        "Conv", x, weight,
        kernel_shape=list(kernel), strides=list(stride), dilations=list(dilation), pads=pads, group=group)
