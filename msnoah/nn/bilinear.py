"""Bilinear resizing of maps."""

from mindspore import nn, ops


def resize_bilinear(x, size: tuple[int, int]):
    """Between the centres of pixels, edges going on beyond the outermost centres. (B, C, h, w) -> (B, C, *size)"""
    return x if tuple(x.shape[2:]) == tuple(size) else ops.interpolate(
        x, size=tuple(size), mode="bilinear", align_corners=False)


class ResizeBilinear(nn.Cell):
    """`resize_bilinear` to a known size. (B, C, h, w) -> (B, C, *size)"""

    def __init__(self, size: tuple[int, int]):
        super().__init__()
        self.size = tuple(size)

    def construct(self, x):
        return resize_bilinear(x, self.size)
