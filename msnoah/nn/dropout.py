"""Dropout, with the randomness on the host so that a resumed run draws what the uninterrupted one would."""

import numpy as np
from mindspore import Parameter, Tensor, nn


class Dropout(nn.Cell):
    """Drops features of a training batch and scales the others up (Srivastava et al., JMLR 2014). (B, C) -> (B, C)

    `keep_scale` (B, C) holds 0 or 1 / (1 - rate) a feature; the trainer sizes and draws it (see `step_inputs`).
    """

    def __init__(self, rate: float, channels: int):
        super().__init__()
        self.rate = rate
        self.keep_scale = Parameter(Tensor(np.ones((1, channels), np.float32)), requires_grad=False)

    def construct(self, x):
        return x * self.keep_scale if self.training else x

    def fuse(self) -> nn.Cell:
        """Evaluation passes x on as it is."""
        return nn.Identity()


def dropout(rate: float, channels: int) -> nn.Cell:
    """Dropout, or the identity where nothing is dropped."""
    return Dropout(float(rate), channels) if rate > 0 else nn.Identity()
