"""Convolutions followed by norms, which fold away for inference."""

import copy
from itertools import pairwise

from mindspore import nn
from mindspore.common.initializer import HeNormal

from msnoah.nn.folding import conv_before, is_affine


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution that pads by half its kernel. (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride))

    Weights from He's normal over outgoing connections (https://arxiv.org/abs/1502.01852), biases 0.
    """
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, "pad", kernel_size // 2, has_bias=bias,
                     weight_init=HeNormal(mode="fan_out", nonlinearity="relu"), bias_init="zeros")


class ConvSequence(nn.SequentialCell):
    """Convolutions, norms and activations in order; in evaluation every norm folds into the convolution before it."""

    def fuse(self) -> nn.Cell:
        """norm(W x + b) = (scale * W) x + (scale * b + shift); the places, and so the weights' names, stay."""
        fused = copy.deepcopy(self)
        for place, (layer, norm) in enumerate(pairwise(self.cell_list)):
            if isinstance(layer, nn.Conv2d) and is_affine(norm):
                fused[place], fused[place + 1] = conv_before(layer, norm), nn.Identity()
        return fused


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
