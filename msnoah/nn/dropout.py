"""Dropout, with the randomness on the host so that a resumed run draws what the uninterrupted one would."""

import numpy as np
from mindspore import Parameter, Tensor, nn


class Dropout(nn.Cell):
    """Drops features of a training batch and scales the others up (Srivastava et al., JMLR 2014). Keeps the shape.

    shape: (C,) for x (B, C), or (N, C) for tokens (B, n, C), of which there may be fewer than N. `keep_scale`
    (B, *shape) holds 0 or 1 / (1 - rate) a feature; the trainer sizes and draws it (see `step_inputs`).
    """

    def __init__(self, rate: float, *shape: int):
        super().__init__()
        self.rate = rate
        self.keep_scale = Parameter(Tensor(np.ones((1, *shape), np.float32)), requires_grad=False)

    def construct(self, x):
        if not self.training:
            return x
        return x * (self.keep_scale if x.ndim == 2 else self.keep_scale[:, :x.shape[1]])

    def fuse(self) -> nn.Cell:
        """Evaluation passes x on as it is."""
        return nn.Identity()


def dropout(rate: float, *shape: int) -> nn.Cell:
    """Dropout, or the identity where nothing is dropped."""
    return Dropout(float(rate), *shape) if rate > 0 else nn.Identity()
