"""Sampling beside the regular positions: deformable convolution and attention."""

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.table import Const, handles


@handles("DeformableOffsets")
def deform(
    g, x, offsets,
    *, strides: Const, pads: Const, ksize: Const, dilations: Const = (1, 1, 1, 1), deformable_groups: Const = 1,
    modulated: Const = True, format: Const = "NCHW",
):
    """x (B, C, H, W) -> (B, C, h kh, w kw): what each window of a convolution reads at its shifted positions.

    offsets (B, 3 G kh kw, h, w): shifts to the right, shifts down, and a factor for each element read.
    """
    if not modulated or format != "NCHW":
        raise ConversionError(f"{g.place}: DeformableOffsets without factors or in layout {format}; use NCHW with both")
    (batch, channels, height, width), (_, _, rows, columns) = x.shape, offsets.shape
    groups, (tall, wide) = deformable_groups, ksize
    parts = reshape(g, offsets, (batch, 3, groups, tall, wide, rows, columns))
    parts = g.op("Transpose", parts, perm=[1, 0, 2, 5, 3, 6, 4])   # (3, B, G, h, kh, w, kw)
    parts = reshape(g, parts, (3, batch * groups, rows * tall, columns * wide))
    right, down, factor = g.op("Split", parts, g.ints(1, 1, 1), outputs=3, axis=0)
    down = g.op("Add", down, _regular(rows, tall, strides[2], dilations[2], pads[0])[:, None].astype(x.dtype))
    right = g.op("Add", right, _regular(columns, wide, strides[3], dilations[3], pads[2]).astype(x.dtype))
    grid = g.op("Concat", _normalise(g, right, width), _normalise(g, down, height), axis=0)
    grid = g.op("Transpose", grid, perm=[1, 2, 3, 0])
    grouped = reshape(g, x, (batch * groups, channels // groups, height, width))
    y = g.op("GridSample", grouped, grid, mode="linear", padding_mode="zeros", align_corners=1)
    y = g.op("Mul", y, g.op("Transpose", factor, perm=[1, 0, 2, 3]))
    return reshape(g, y, (batch, channels, rows * tall, columns * wide))


def _regular(count: int, kernel: int, stride: int, dilation: int, pad: int) -> np.ndarray:
    """(count kernel,): where the elements of each window lie along an axis."""
    return (np.arange(count)[:, None] * stride - pad + np.arange(kernel) * dilation).reshape(-1)


def _normalise(g, positions, size: int):
    """0 to size - 1 as -1 to 1; an axis of one element has its only position in the middle, and others outside."""
    if size == 1:
        return g.op("Mul", positions, g.like(2, positions))
    return g.op("Sub", g.op("Mul", positions, g.like(2 / (size - 1), positions)), g.like(1, positions))


@handles("MultiScaleDeformableAttn")
def attend_deformably(g, value, shapes: Const, starts: Const, locations, weights):
    """value (B, elements of all maps, N, D), shapes (maps, 2), locations (B, Q, N, maps, P, 2) from 0 to 1, weights
    (B, Q, N, maps, P) -> (B, Q, N D): weighted sums of P elements of each map."""
    (batch, _, heads, size), queries = value.shape, locations.shape[1]
    maps, points = locations.shape[3:5]
    sizes = [tuple(map(int, shape)) for shape in shapes]
    parts = g.op("Split", value, g.ints(*[h * w for h, w in sizes]), outputs=maps, axis=1)
    grids = g.op("Sub", g.op("Mul", locations, g.like(2, locations)), g.like(1, locations))
    grids = g.op("Transpose", grids, perm=[3, 0, 2, 1, 4, 5])   # (maps, B, N, Q, P, 2)
    sampled = []
    for index, (part, shape) in enumerate(zip(parts if maps > 1 else (parts,), sizes, strict=True)):
        image = reshape(g, g.op("Transpose", part, perm=[0, 2, 3, 1]), (batch * heads, size, *shape))
        grid = reshape(g, g.op("Gather", grids, np.array(index), axis=0), (batch * heads, queries, points, 2))
        sampled.append(g.op("GridSample", image, grid, mode="linear", padding_mode="zeros", align_corners=0))
    elements = reshape(g, g.op("Concat", *sampled, axis=3), (batch, heads, size, queries, maps * points))
    elements = g.op("Transpose", elements, perm=[0, 3, 1, 2, 4])   # (B, Q, N, D, maps P)
    columns = reshape(g, weights, (batch, queries, heads, maps * points, 1))
    return reshape(g, g.op("MatMul", elements, columns), (batch, queries, heads * size))
