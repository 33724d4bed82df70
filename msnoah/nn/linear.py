"""A linear layer with the initialisation that vision transformers share."""

from mindspore import nn
from mindspore.common.initializer import TruncatedNormal


def linear(in_channels: int, out_channels: int, bias: bool = True) -> nn.Dense:
    """Dense (..., in) -> (..., out): weights from a normal of deviation 0.02 cut at two deviations, biases 0."""
    return nn.Dense(in_channels, out_channels, weight_init=TruncatedNormal(0.02), bias_init="zeros", has_bias=bias)
