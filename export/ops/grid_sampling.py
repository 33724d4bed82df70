"""Sampling at positions that are computed at run time, and grids of such positions."""

import numpy as np

from msnoah.export.ops.linear import transpose_last
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.table import Const, as_tuple, handles

MODES = ("bilinear", "nearest")
PADDINGS = ("zeros", "border", "reflection")
"""Interpolation and padding by the numbers that MindIR carries."""


@handles("GridSampler2D", "GridSampler3D")
def sample(
    g, x, grid, interpolation_mode: Const = 0, padding_mode: Const = 0, align_corners: Const = False,
):
    """x (B, C, H, W), grid (B, h, w, 2) -> (B, C, h, w), or with a depth; positions run from -1 to 1."""
    return g.op(
        "GridSample", x, grid, mode=MODES[interpolation_mode], padding_mode=PADDINGS[padding_mode],
        align_corners=int(align_corners))


@handles("AffineGrid")
def affine_grid(g, theta, output_size: Const, *, align_corners: Const = False):
    """theta (B, n, n + 1) -> positions (B, *sizes, n), the last coordinate of the sizes first."""
    sizes = as_tuple(output_size)[2:]
    axes = [_coordinates(size, align_corners) for size in sizes]
    base = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(sizes)], -1)
    points = g.op("MatMul", base.reshape(-1, len(sizes) + 1).astype(theta.dtype), transpose_last(g, theta))
    return reshape(g, points, (theta.shape[0], *sizes, len(sizes)))


def _coordinates(size: int, align_corners: bool) -> np.ndarray:
    """From -1 to 1: at the outer edges of the elements, or at their centres."""
    if align_corners:
        return np.linspace(-1, 1, size) if size > 1 else np.zeros(1)
    return (2 * np.arange(size) + 1) / size - 1
