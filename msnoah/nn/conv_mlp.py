"""The perceptron of a block over maps: 1x1 convolutions around a depthwise one, each with its norm."""

from mindspore import nn

from msnoah.nn.arguments import check_counts
from msnoah.nn.conv_norm import ConvSequence, conv_with_bias, fold_norms


class ConvMLP(nn.Cell):
    """norm2(fc2(GELU(mid_norm(mid(GELU(norm1(fc1(x)))))))), exact GELU. (B, C, H, W) -> (B, C, H, W)

    EfficientFormerV2, Li et al., ICCV 2023, https://arxiv.org/abs/2212.08059: the 3x3 convolution in the middle makes
    a token mixer of its own unnecessary.
    """

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        check_counts(hidden_dim=hidden_dim)
        self.fc1 = conv_with_bias(dim, hidden_dim)
        self.norm1 = nn.BatchNorm2d(hidden_dim)
        self.act = nn.GELU(approximate=False)
        self.mid = conv_with_bias(hidden_dim, hidden_dim, 3, group=hidden_dim)
        self.mid_norm = nn.BatchNorm2d(hidden_dim)
        self.fc2 = conv_with_bias(hidden_dim, dim)
        self.norm2 = nn.BatchNorm2d(dim)

    def construct(self, x):
        x = self.act(self.norm1(self.fc1(x)))                       # (B, C, H, W) -> (B, hidden, H, W)
        x = self.act(self.mid_norm(self.mid(x)))
        return self.norm2(self.fc2(x))                              # (B, hidden, H, W) -> (B, C, H, W)

    def fuse(self) -> nn.Cell:
        """norm(W x + b) = (scale * W) x + (scale * b + shift), three times; the rest is a sequence."""
        fused = fold_norms(self, {"fc1": "norm1", "mid": "mid_norm", "fc2": "norm2"})
        return ConvSequence(fused.fc1, fused.act, fused.mid, fused.act, fused.fc2)
