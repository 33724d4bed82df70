"""Softmax attention inside windows, with a learnt bias for the relative position of two tokens."""

import numpy as np
from mindspore import Parameter, Tensor, ops
from mindspore.common.initializer import TruncatedNormal, initializer

from msnoah.nn.attention import Attention, join_heads, softmax_attention, split_heads
from msnoah.nn.windows import relative_position_index


class WindowAttention(Attention):
    """softmax(q k^T / sqrt(d) + bias + mask) v in each window and head. (B * windows, n, C) -> (B * windows, n, C)

    Swin Transformer, Liu et al., ICCV 2021, https://arxiv.org/abs/2103.14030, equation 4. `mask` (windows, n, n), if
    given, is added in the window of its number.
    """

    def __init__(self, dim: int, num_heads: int, window: int, mask: np.ndarray | None = None):
        super().__init__(dim, num_heads)
        self.count = window * window
        self.relative_position_bias_table = Parameter(
            initializer(TruncatedNormal(0.02), ((2 * window - 1) ** 2, num_heads)))
        self.relative_position_index = Tensor(relative_position_index(window))
        self.has_mask = mask is not None
        self.mask = None if mask is None else Tensor(mask[:, None])      # (windows, 1, n, n)

    def construct(self, x):
        q, k, v = ops.split(self.qkv(x), self.dim, axis=-1)         # (B*W, n, C) -> 3 of (B*W, n, C)
        q, k, v = self.by_window(q), self.by_window(k), self.by_window(v)
        x = softmax_attention(q, k, v, self.scale, self.bias())     # (B, W, heads, n, d); unmasked (B*W, heads, n, d)
        x = x.reshape(-1, self.num_heads, self.count, self.dim // self.num_heads)
        return self.proj(join_heads(x))

    def by_window(self, x):
        """Heads; windows set apart where each has its mask. (B*W, n, C) -> (B, W, heads, n, d) or (B*W, heads, n, d)"""
        x = split_heads(x, self.num_heads)
        return x.reshape(-1, self.mask.shape[0], *x.shape[1:]) if self.has_mask else x

    def bias(self):
        """Position bias and mask in one. (heads, n, n), or (W, heads, n, n) with a mask"""
        bias = ops.gather(self.relative_position_bias_table, self.relative_position_index, 0)    # (n * n, heads)
        bias = bias.reshape(self.count, self.count, self.num_heads).transpose(2, 0, 1)
        return bias + self.mask if self.has_mask else bias
