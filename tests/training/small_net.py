"""A model that compiles in a second, and runs on the handwritten digits."""

from mindspore import nn

from msnoah.nn.drop_path import drop_path
from msnoah.nn.rep_norm import ProgressiveRepBatchNorm
from msnoah.registry import register_model


class SmallNet(nn.Cell):
    """Pixels -> Dense -> PRepBN -> residual branch with stochastic depth -> classes. (B, C, S, S) -> (B, K)"""

    def __init__(
        self, num_classes: int = 10, in_channels: int = 1, image_size: int = 8, width: int = 16,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        self.pixels = in_channels * image_size**2
        self.embed = nn.Dense(self.pixels, width)
        self.norm = ProgressiveRepBatchNorm(width)
        self.branch = nn.Dense(width, width)
        self.drop_path = drop_path(drop_path_rate)
        self.head = nn.Dense(width, num_classes)
        self.width = width

    def construct(self, x):
        x = self.norm(self.embed(x.reshape(-1, self.pixels)))                        # (B, C, S, S) -> (B, W)
        branch = self.drop_path(self.branch(x).reshape(-1, 1, self.width))           # (B, W) -> (B, 1, W)
        return self.head(x + branch.reshape(-1, self.width))


@register_model
def small_net_for_training_tests(**kwargs) -> SmallNet:
    """SmallNet."""
    return SmallNet(**kwargs)
