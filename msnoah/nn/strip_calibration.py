"""Rectangular self-calibration: a map weighed by what strips along its rows and columns say.

Rectangular Self-Calibration Module, CGRSeg, Ni et al., ECCV 2024, https://arxiv.org/abs/2405.06228, section 3.2.
"""

import numpy as np
from mindspore import Parameter, Tensor, nn

from msnoah.nn.conv_norm import ConvSequence, conv_with_bias
from msnoah.nn.folding import conv_after, scaled_conv
from msnoah.nn.residual import Residual

FIRST_SCALE = 1e-6  # of a block's branch, so that training begins with the identity


class StripAttention(nn.Cell):
    """A 3x3 convolution times a gate, which strip convolutions make of sums of row and column means. (B, C, H, W), same

    kernel_size: length of both strips. All convolutions are depthwise.
    """

    def __init__(self, dim: int, kernel_size: int):
        super().__init__()
        self.dwconv_hw = conv_with_bias(dim, dim, 3, group=dim)
        self.excite = ConvSequence(
            conv_with_bias(dim, dim, (1, kernel_size), group=dim), nn.BatchNorm2d(dim), nn.ReLU(),
            conv_with_bias(dim, dim, (kernel_size, 1), group=dim), nn.Sigmoid())

    def construct(self, x):
        means = x.mean(3, keep_dims=True) + x.mean(2, keep_dims=True)   # (B, C, H, 1) + (B, C, 1, W)
        return self.excite(means) * self.dwconv_hw(x)


class PointwiseMLP(nn.Cell):
    """fc2(GELU(fc1(x))) at every place, exact GELU. (B, C, H, W) -> (B, C, H, W)"""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = conv_with_bias(dim, hidden_dim)
        self.act = nn.GELU(approximate=False)
        self.fc2 = conv_with_bias(hidden_dim, dim)

    def construct(self, x):
        return self.fc2(self.act(self.fc1(x)))


class StripCalibration(nn.Cell):
    """x + gamma * mlp(norm(token_mixer(x))). (B, C, H, W) -> (B, C, H, W)

    kernel_size: of the strips. gamma, a factor for every channel, begins as FIRST_SCALE.
    """

    def __init__(self, dim: int, kernel_size: int, mlp_ratio: int = 2):
        super().__init__()
        self.token_mixer = StripAttention(dim, kernel_size)
        self.norm = nn.BatchNorm2d(dim)
        self.mlp = PointwiseMLP(dim, dim * mlp_ratio)
        self.gamma = Parameter(Tensor(np.full(dim, FIRST_SCALE, np.float32)))

    def construct(self, x):
        y = self.mlp(self.norm(self.token_mixer(x)))
        return x + y * self.gamma.reshape(1, -1, 1, 1)

    def fuse(self) -> nn.Cell:
        """The norm goes into the columns of fc1, which has no padding, and gamma into the rows of fc2."""
        first = conv_after(self.norm, self.mlp.fc1)
        last = scaled_conv(self.mlp.fc2, self.gamma.asnumpy().astype(np.float64))
        return Residual(nn.SequentialCell(self.token_mixer, first, self.mlp.act, last))
