"""Stochastic depth, with the randomness on the host so that a resumed run draws what the uninterrupted one would."""

import numpy as np
from mindspore import Parameter, Tensor, nn


class DropPath(nn.Cell):
    """Drops a residual branch for some samples of a training batch and scales the others up. (B, ...) -> (B, ...)

    Deep Networks with Stochastic Depth, Huang et al., ECCV 2016, https://arxiv.org/abs/1603.09382. `keep_scale`
    (B, 1, 1), or (B, 1, 1, 1) of rank 4, holds 0 or 1 / (1 - rate) a sample; the trainer sizes and draws it (see
    `step_inputs`).
    """

    def __init__(self, rate: float, rank: int = 3):
        super().__init__()
        self.rate = rate
        self.keep_scale = Parameter(Tensor(np.ones((1,) * rank, np.float32)), requires_grad=False)

    def construct(self, x):
        return x * self.keep_scale if self.training else x

    def fuse(self) -> nn.Cell:
        """Evaluation passes x on as it is."""
        return nn.Identity()


def drop_path(rate: float, rank: int = 3) -> nn.Cell:
    """DropPath of tokens (rank 3) or maps (rank 4), or the identity where nothing is dropped."""
    return DropPath(float(rate), rank) if rate > 0 else nn.Identity()


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """Rates of `depth` blocks, rising linearly from 0 to `rate`."""
    return np.linspace(0, rate, depth).tolist()


def by_stage(values: list[float], depths: list[int]) -> list[list[float]]:
    """Values of all blocks, grouped by the stage of their block."""
    return [values[sum(depths[:stage]):sum(depths[:stage + 1])] for stage in range(len(depths))]
