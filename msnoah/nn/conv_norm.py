"""Convolutions followed by norms, which fold away for inference."""

import copy
from itertools import pairwise

import numpy as np
from mindspore import nn
from mindspore.common.initializer import HeNormal

from msnoah.nn.folding import conv_before, is_affine, scaled_conv


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution that pads by half its kernel. (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride))

    Weights from He's normal over outgoing connections (https://arxiv.org/abs/1502.01852), biases 0.
    """
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, "pad", kernel_size // 2, has_bias=bias,
                     weight_init=HeNormal(mode="fan_out", nonlinearity="relu"), bias_init="zeros")


def conv_with_bias(
    in_channels: int, out_channels: int, kernel_size: int | tuple[int, int] = 1, stride: int = 1, group: int = 1,
) -> nn.Conv2d:
    """As `conv`, with a bias, for kernels (height, width) too and for groups of channels.

    Weights and biases from the uniform distributions that PyTorch and MindSpore begin with.
    """
    height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    padding = (height // 2, height // 2, width // 2, width // 2)
    return nn.Conv2d(in_channels, out_channels, (height, width), stride, "pad", padding, group=group, has_bias=True)


class ConvNorm(nn.Cell):
    """A 1x1 convolution without bias, then BatchNorm, one Conv2d when fused. (B, in, H, W) -> (B, out, H, W)"""

    def __init__(self, in_channels: int, out_channels: int, group: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, group=group, bias_init="zeros",
                              weight_init=HeNormal(mode="fan_out", nonlinearity="relu"))
        self.bn = nn.BatchNorm2d(out_channels)

    def construct(self, x):
        return self.bn(self.conv(x))

    def fuse(self) -> nn.Cell:
        """norm(W x) = (scale * W) x + shift."""
        return conv_before(self.conv, self.bn)


class ConvSequence(nn.SequentialCell):
    """Convolutions, norms and activations in order; in evaluation every norm folds into the convolution before it."""

    def fuse(self) -> nn.Cell:
        """norm(W x + b) = (scale * W) x + (scale * b + shift); the places, and so the weights' names, stay."""
        fused = copy.deepcopy(self)
        for place, (layer, norm) in enumerate(pairwise(self.cell_list)):
            if isinstance(layer, nn.Conv2d) and is_affine(norm):
                fused[place], fused[place + 1] = conv_before(layer, norm), nn.Identity()
        return fused

    def scaled(self, scale: np.ndarray | float) -> "ConvSequence":
        """scale * y of a fused sequence that ends in a convolution, a factor for every output channel or for all."""
        *cells, last = [cell for cell in self.cell_list if not isinstance(cell, nn.Identity)]
        return ConvSequence(*cells, scaled_conv(last, np.broadcast_to(scale, last.out_channels)))


def fold_norms(cell: nn.Cell, norms: dict[str, str]) -> nn.Cell:
    """A copy of a Cell whose named layers take in the norms of their outputs, as {"conv1": "bn1"}, and those are gone.

    A layer that is no convolution has a method `before(norm)`, which gives norm(layer(x)) as one layer.
    """
    fused = copy.deepcopy(cell)
    for name, norm_name in norms.items():
        layer, norm = getattr(cell, name), getattr(cell, norm_name)
        setattr(fused, name, layer.before(norm) if hasattr(layer, "before") else conv_before(layer, norm))
        setattr(fused, norm_name, nn.Identity())
    return fused
