"""ToCom's plugin: what a change of the number of merged tokens takes from queries and values, made good by low rank.

Token Compensator: Altering Inference Cost of Vision Transformer without Re-Tuning, Jie et al., ECCV 2024,
https://arxiv.org/abs/2408.06798. A model was trained merging `source` tokens a layer and now merges `target`. The
hidden units of the map lie on a scale of degrees from 0 to 16; those between the two degrees are used, with their sign.
"""

import math

import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore import dtype as mstype
from mindspore.common.initializer import Uniform

from msnoah.errors import ModelError
from msnoah.nn.arguments import check_finite
from msnoah.nn.dropout import dropout

DEGREES = 16
"""Steps of the scale: the largest number of merged tokens a layer that a plugin knows."""


def unit_mask(degree: int, units_per_degree: int) -> np.ndarray:
    """The hidden units that a degree has, counted from the end: 0 or 1, float32 (DEGREES * units_per_degree,)."""
    units = np.arange(DEGREES * units_per_degree)
    return (units >= (DEGREES - degree) * units_per_degree).astype(np.float32)


class TokenCompensator(nn.Cell):
    """scale * U (mask(target) - mask(source)) D x, without biases. (B, N, C) -> (B, N, C)

    `unit_gate` (units,) holds scale * (mask(target) - mask(source)); it is no weight (see `step_inputs`). U starts at
    zero. In training, hidden units are dropped at `rate`; `tokens` is the largest N of a training batch.
    """

    def __init__(self, dim: int, tokens: int, units_per_degree: int = 2, rate: float = 0.1):
        super().__init__()
        units = DEGREES * units_per_degree
        self.units_per_degree = units_per_degree
        self.adapter_down = nn.Dense(dim, units, weight_init=Uniform(1 / math.sqrt(dim)), has_bias=False)
        self.dropout = dropout(rate, tokens, units)
        self.unit_gate = Parameter(Tensor(np.zeros(units, np.float32)), requires_grad=False)
        self.adapter_up = nn.Dense(units, dim, weight_init="zeros", has_bias=False)

    def construct(self, x):
        hidden = self.dropout(self.adapter_down(x))                 # (B, N, C) -> (B, N, units)
        return self.adapter_up(hidden * self.unit_gate.astype(hidden.dtype))

    def gate(self, source: int, target: int, scale: float) -> Tensor:
        """The `unit_gate` of a pair of degrees; ModelError for degrees that the plugin does not know, a bad scale."""
        check_finite(tocom_scale=scale)
        for name, degree in (("source_degree", source), ("tokens_merged", target)):
            if not 0 <= degree <= DEGREES:
                raise ModelError(f"{name}={degree}: ToCom's plugin knows 0 to {DEGREES} merged tokens a block")
        difference = unit_mask(target, self.units_per_degree) - unit_mask(source, self.units_per_degree)
        return Tensor(scale * difference, mstype.float32)

    def weight(self) -> np.ndarray:
        """The map as one matrix, float64 (C, C): U diag(unit_gate) D."""
        up, gate, down = (p.asnumpy().astype(np.float64) for p in (
            self.adapter_up.weight, self.unit_gate, self.adapter_down.weight))
        return (up * gate) @ down
