"""A model that compiles in a second, and runs on the handwritten digits."""

import pytest
from mindspore import nn

from msnoah.config import RunConfig
from msnoah.nn.drop_path import drop_path
from msnoah.nn.rep_norm import ProgressiveRepBatchNorm
from msnoah.registry import register_model
from msnoah.run_folder import RunFolder


class SmallNet(nn.Cell):
    """Pixels -> Dense -> PRepBN -> residual branch with stochastic depth -> classes. (B, C, S, S) -> (B, K)"""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 8, width: int = 16, drop_path_rate: float = 0.0):
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


@pytest.fixture
def small_model():
    return SmallNet()


@pytest.fixture
def make_config():
    """make_config(**train): a run of SmallNet on the digits; seconds long."""
    def make(model_args=None, **train) -> RunConfig:
        data = {"source": "digits", "image_size": 8, "channels": 1, "mean": [0.3], "std": [0.38], "crop_fraction": 1.0}
        train = {"epochs": 2, "batch_size": 240, "optimizer": {"lr": 0.01}, "progressive_norm": {"steps": 6}} | train
        model = {"name": "small_net_for_training_tests", "args": model_args or {}}
        return RunConfig(model=model, data=data, train=train)

    return make


@pytest.fixture
def make_run(tmp_path):
    """make_run(config, name): a new run folder."""
    def make(config: RunConfig, name: str = "run") -> RunFolder:
        return RunFolder.create(tmp_path / name, config)

    return make
