"""Primitives that cut images into patches, put patches together, or trade channels for pixels."""

import math

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.convolution import last, paddings
from msnoah.export.ops.padding import pad_axes
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.slicing import slice_axes
from msnoah.export.ops.table import Const, as_tuple, handles

PAD_MODES = {0: "pad", 1: "same", 2: "valid"}
"""Pad mode by the number that function primitives carry."""


def unfold(g, x, kernel, stride, pads, dilation):
    """(N, C, H, W) -> (N, C, kh, kw, oh, ow): the patch under each position of a window."""
    top, left, bottom, right = pads
    x = pad_axes(g, x, [(0, 0), (0, 0), (top, bottom), (left, right)], "constant")
    tiled = all(s == k and d == 1 for s, k, d in zip(stride, kernel, dilation, strict=True))
    spans = zip(x.shape[2:], kernel, stride, dilation, strict=True)
    sizes = [(size - d * (k - 1) - 1) // s + 1 for size, k, s, d in spans]
    if tiled:
        x = slice_axes(g, x, {2 + i: (0, count * k, 1) for i, (count, k) in enumerate(zip(sizes, kernel, strict=True))})
        x = reshape(g, x, (*x.shape[:2], sizes[0], kernel[0], sizes[1], kernel[1]))
        return g.op("Transpose", x, perm=[0, 1, 3, 5, 2, 4])
    for axis, (k, s, d, count) in zip((2, 4), zip(kernel, stride, dilation, sizes, strict=True), strict=True):
        index = np.arange(k).reshape(-1, 1) * d + np.arange(count) * s   # (k, count): the pixel of each tap
        x = g.op("Gather", x, index.astype(np.int64), axis=axis)
    return g.op("Transpose", x, perm=[0, 1, 2, 4, 3, 5])   # (N, C, kh, oh, kw, ow) -> (N, C, kh, kw, oh, ow)


def _symmetric(pads) -> tuple[int, int, int, int]:
    height, width = last(pads, 2)
    return height, width, height, width


@handles("Im2Col")
def im2col(
    g, x, *, ksizes: Const, strides: Const = 1, dilations: Const = 1, pads: Const = 0,
    padding_mode: Const = "CALCULATED",
):
    """(N, C, H, W) -> (N, C, kh kw, oh ow)"""
    if padding_mode != "CALCULATED":
        raise ConversionError(f"{g.place}: Im2Col with padding mode {padding_mode}; only CALCULATED is known")
    columns = unfold(g, x, last(ksizes, 2), last(strides, 2), _symmetric(pads), last(dilations, 2))
    n, c, *window, height, width = columns.shape
    return reshape(g, columns, (n, c, math.prod(window), height * width))


@handles("Im2ColExt")
def im2col_flat(g, x, kernel_size: Const, dilation: Const = 1, padding: Const = 0, stride: Const = 1):
    """(N, C, H, W) -> (N, C kh kw, oh ow)"""
    columns = unfold(g, x, last(kernel_size, 2), last(stride, 2), _symmetric(padding), last(dilation, 2))
    return reshape(g, columns, (x.shape[0], math.prod(columns.shape[1:4]), math.prod(columns.shape[4:])))


@handles("ExtractImagePatches")
def extract_image_patches(g, x, ksizes: Const, strides: Const, rates: Const, padding: Const = 2):
    """(N, C, H, W) -> (N, kh kw C, oh, ow)"""
    kernel, stride, rate = last(ksizes, 2), last(strides, 2), last(rates, 2)
    pads = paddings(g, PAD_MODES[padding], (), x.shape[2:], kernel, stride, rate)
    columns = unfold(g, x, kernel, stride, pads or (0, 0, 0, 0), rate)
    n, c, *window, height, width = columns.shape
    columns = g.op("Transpose", columns, perm=[0, 2, 3, 1, 4, 5])
    return reshape(g, columns, (n, math.prod(window) * c, height, width))


def fold(g, columns, size, kernel, stride, padding, dilation):
    """(N, C, kh kw, L) -> (N, C, H, W): overlapping patches are added up. A transposed convolution whose weights put
    each tap at its place."""
    n, c, taps, count = columns.shape
    reach = [p * 2 + total - d * (k - 1) - 1 for total, p, d, k in zip(size, padding, dilation, kernel, strict=True)]
    height, width = (r // s + 1 for r, s in zip(reach, stride, strict=True))
    weights = np.eye(taps, dtype=columns.dtype).reshape(taps, 1, *kernel)
    y = g.op(
        "ConvTranspose", reshape(g, columns, (n * c, taps, height, width)), weights, kernel_shape=list(kernel),
        strides=list(stride), dilations=list(dilation), pads=[*padding] * 2,
        output_padding=[r % s for r, s in zip(reach, stride, strict=True)])
    return reshape(g, y, (n, c, *size))


@handles("Col2Im")
def col2im(
    g, x, output_size: Const, *, kernel_size: Const, dilation: Const = 1, padding: Const = 0, stride: Const = 1,
):
    arguments = (last(value, 2) for value in (kernel_size, stride, padding, dilation))
    return fold(g, x, as_tuple(output_size), *arguments)


@handles("Col2ImExt")
def col2im_flat(
    g, x, output_size: Const, kernel_size: Const, dilation: Const = 1, padding: Const = 0, stride: Const = 1,
):
    """(N, C kh kw, L) -> (N, C, H, W); also without N."""
    kernel, *others = (last(value, 2) for value in (kernel_size, stride, padding, dilation))
    taps = math.prod(kernel)
    n = x.shape[0] if len(x.shape) == 3 else 1
    columns = reshape(g, x, (n, x.shape[-2] // taps, taps, x.shape[-1]))
    y = fold(g, columns, as_tuple(output_size), kernel, *others)
    return reshape(g, y, (*x.shape[:-2], *y.shape[1:]))


@handles("SpaceToDepth")
def space_to_depth(g, x, *, block_size: Const):
    """(N, C, H, W) -> (N, b b C, H / b, W / b)"""
    n, c, h, w = x.shape
    b = block_size
    y = g.op("Transpose", reshape(g, x, (n, c, h // b, b, w // b, b)), perm=[0, 3, 5, 1, 2, 4])
    return reshape(g, y, (n, b * b * c, h // b, w // b))


@handles("DepthToSpace")
def depth_to_space(g, x, *, block_size: Const):
    """(N, b b C, H, W) -> (N, C, b H, b W)"""
    n, c, h, w = x.shape
    b = block_size
    y = g.op("Transpose", reshape(g, x, (n, b, b, c // b // b, h, w)), perm=[0, 3, 4, 1, 5, 2])
    return reshape(g, y, (n, c // b // b, h * b, w * b))


@handles("ChannelShuffle")
def channel_shuffle(g, x, *, group: Const):
    """(N, G C, ...) -> (N, C G, ...): the groups dealt out like cards."""
    n, c, *rest = x.shape
    y = reshape(g, x, (n, group, c // group, *rest))
    y = g.op("Transpose", y, perm=[0, 2, 1, *range(3, len(y.shape))])
    return reshape(g, y, x.shape)


def _space_to_batch(g, x, block, pairs):
    """(N, ..., S b) -> (b N, ..., S) along the last axes."""
    first = len(x.shape) - len(block)
    x = pad_axes(g, x, [*[(0, 0)] * first, *pairs], "constant")
    sizes = [size // b for size, b in zip(x.shape[first:], block, strict=True)]
    split = [number for pair in zip(sizes, block, strict=True) for number in pair]
    y = reshape(g, x, (*x.shape[:first], *split))
    blocks = [first + 1 + 2 * i for i in range(len(block))]
    y = g.op("Transpose", y, perm=[*blocks, *range(first), *(axis - 1 for axis in blocks)])
    return reshape(g, y, (math.prod(block) * x.shape[0], *x.shape[1:first], *sizes))


def _batch_to_space(g, x, block, crops):
    """(b N, ..., S) -> (N, ..., S b) along the last axes, cropped."""
    count, first = len(block), len(x.shape) - len(block)
    y = reshape(g, x, (*block, x.shape[0] // math.prod(block), *x.shape[1:]))
    pairs = [axis for i in range(count) for axis in (count + first + i, i)]
    y = g.op("Transpose", y, perm=[*range(count, count + first), *pairs])
    sizes = [size * b for size, b in zip(x.shape[first:], block, strict=True)]
    y = reshape(g, y, (*y.shape[:first], *sizes))
    spans = zip(sizes, crops, strict=True)
    return slice_axes(g, y, {first + i: (before, size - after, 1) for i, (size, (before, after)) in enumerate(spans)})


@handles("SpaceToBatchND")
def space_to_batch_nd(g, x, *, block_shape: Const, paddings: Const):
    return _space_to_batch(g, x, as_tuple(block_shape), paddings)


@handles("SpaceToBatch")
def space_to_batch(g, x, *, block_size: Const, paddings: Const):
    return _space_to_batch(g, x, (block_size, block_size), paddings)


@handles("BatchToSpaceND")
def batch_to_space_nd(g, x, *, block_shape: Const, crops: Const):
    return _batch_to_space(g, x, as_tuple(block_shape), crops)


@handles("BatchToSpace")
def batch_to_space(g, x, *, block_size: Const, crops: Const):
    return _batch_to_space(g, x, (block_size, block_size), crops)


@handles("BatchToSpaceNDV2")
def batch_to_space_by_tensors(g, x, block_shape: Const, crops: Const):
    return _batch_to_space(g, x, as_tuple(block_shape), np.array(crops).tolist())
