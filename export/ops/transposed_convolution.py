"""Transposed convolutions in NC... layout, and the primitives that are plain or transposed by a flag."""

from msnoah.errors import ConversionError
from msnoah.export.ops.convolution import convolve_by_mode, convolve_padded, given_padding, last
from msnoah.export.ops.table import Const, as_tuple, handles


@handles("Conv2DTranspose", "Conv2DBackpropInput")
def transposed_2d(g, x, weight, size: Const, *, pad_list: Const, stride: Const, dilation: Const, group: Const = 1):
    """`pad_list` holds the padding whatever the pad mode is; `size` is the output's shape."""
    return _transpose(g, x, weight, None, given_padding(pad_list), stride, dilation, group, as_tuple(size)[2:])


@handles("Conv3DTranspose")
def transposed_3d(g, x, weight, *, pad_list: Const, strides: Const, dilations: Const, groups: Const = 1):
    size = g.type.shape[2:]
    return _transpose(g, x, weight, None, given_padding(pad_list), strides, dilations, groups, size)


@handles("ConvTranspose2D")
def transposed_padded(
    g, x, weight, bias=None, stride: Const = 1, padding: Const = 0, output_padding: Const = 0, groups: Const = 1,
    dilation: Const = 1,
):
    """x may come without batch; the declared output size says what output_padding adds."""
    rank = len(weight.shape) - 2
    batched = x if len(x.shape) > rank + 1 else g.op("Unsqueeze", x, g.ints(0))
    pads, size = [*last(padding, rank)] * 2, g.type.shape[-rank:]
    y = _transpose(g, batched, weight, bias, pads, stride, dilation, groups, size)
    return y if batched is x else g.op("Squeeze", y, g.ints(0))


@handles("Convolution")
def either_padded(
    g, x, weight, bias=None, stride: Const = 1, padding: Const = 0, dilation: Const = 1, transposed: Const = False,
    output_padding: Const = 0, groups: Const = 1,
):
    if transposed:
        return transposed_padded(g, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return convolve_padded(g, x, weight, bias, stride, padding, dilation, groups)


@handles("ConvolutionStr")
def either_by_mode(
    g, x, weight, bias=None, stride: Const = 1, padding: Const = 2, dilation: Const = 1, transposed: Const = False,
    output_padding: Const = 0, groups: Const = 1,
):
    if transposed:
        raise ConversionError(f"{g.place}: a transposed convolution with a pad mode; give paddings as numbers")
    return convolve_by_mode(g, x, weight, bias, stride, padding, dilation, groups)


def _transpose(g, x, weight, bias, pads: list[int], stride, dilation, group, sizes):
    """weight (C, D / group, ...). What is missing to the wanted sizes is added at the end of each axis."""
    rank = len(weight.shape) - 2
    kernel, stride, dilation = weight.shape[2:], last(stride, rank), last(dilation, rank)
    reached = [
        s * (size - 1) + d * (k - 1) + 1 - before - after
        for size, s, d, k, before, after in zip(
            x.shape[2:], stride, dilation, kernel, pads[:rank], pads[rank:], strict=True)]
    added = [wanted - size for wanted, size in zip(sizes, reached, strict=True)]
    return g.op(
        "ConvTranspose", x, weight, bias, kernel_shape=list(kernel), strides=list(stride), dilations=list(dilation),
        pads=pads, output_padding=added, group=group)
