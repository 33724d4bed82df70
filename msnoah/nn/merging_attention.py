"""Attention over merged tokens, with or without ToCom's plugin."""

import copy

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from msnoah.nn.attention import Attention, join_heads, softmax_attention, split_heads
from msnoah.nn.folding import dense_of
from msnoah.nn.token_compensator import TokenCompensator


def size_bias(size):
    """What proportional attention adds to the scores, log size. (B, N, 1) -> (B, 1, 1, N); None -> None"""
    return None if size is None else ops.log(size).transpose(0, 2, 1).expand_dims(1)


class MergingAttention(Attention):
    """Attention that counts a token as often as patches went into it, and gives what tokens are matched by.

    x (B, N, C), size (B, N, 1) or None -> (B, N, C), metric (B, N, d): softmax(q k^T / sqrt(d) + log size) v (ToMe's
    proportional attention), and the mean of k over the heads.
    """

    def construct(self, x, size):
        q, k, v = self.project(x)                                   # (B, N, C) -> 3 of (B, heads, N, d)
        x = softmax_attention(q, k, v, self.scale, size_bias(size))         # (B, heads, N, d)
        return self.proj(join_heads(x)), k.mean(1)                  # (B, N, C), (B, N, d)

    def fuse(self) -> nn.Cell:
        """The scale goes into q. The bias of k adds the same to all scores of a query, which the softmax does not see,
        so it is left for the metric alone."""
        return FusedMergingAttention(super().fuse())


class FusedMergingAttention(nn.Cell):
    """MergingAttention whose keys have no bias; inputs and outputs as there, but the metric is the sum of k over the
    heads: it is compared by direction.

    attention: one without a scale.
    """

    def __init__(self, attention: Attention):
        super().__init__()
        dim, heads = attention.dim, attention.num_heads
        bias = attention.qkv.bias.asnumpy().astype(np.float64)
        keys = np.arange(3 * dim) // dim == 1
        self.num_heads, self.dim, self.proj = heads, dim, attention.proj
        self.qkv = dense_of(attention.qkv.weight.asnumpy(), np.where(keys, 0, bias))
        self.metric_bias = Parameter(Tensor(bias[keys].reshape(heads, -1).sum(0).astype(np.float32)))

    def construct(self, x, size):
        q, k, v = ops.split(self.qkv(x), self.dim, axis=-1)
        batch, count, _ = x.shape
        k = k.reshape(batch, count, self.num_heads, -1)                                     # (B, N, heads, d)
        q, v = split_heads(q, self.num_heads), split_heads(v, self.num_heads)               # (B, heads, N, d)
        x = softmax_attention(q, k.transpose(0, 2, 1, 3), v, bias=size_bias(size))
        return self.proj(join_heads(x)), k.sum(2) + self.metric_bias                        # (B, N, C), (B, N, d)


class CompensatedAttention(MergingAttention):
    """MergingAttention whose queries and values have ToCom's plugin added, if `compensates`.

    `tokens` is the largest number of tokens, with nothing merged.
    """

    def __init__(self, dim: int, num_heads: int, tokens: int, units_per_degree: int = 2):
        super().__init__(dim, num_heads)
        self.q_tocom = TokenCompensator(dim, tokens, units_per_degree)
        self.v_tocom = TokenCompensator(dim, tokens, units_per_degree)
        self.compensates = True

    def project(self, x):
        if not self.compensates:
            return super().project(x)
        q, k, v = ops.split(self.qkv(x), self.dim, axis=-1)
        q, v = q + self.q_tocom(x), v + self.v_tocom(x)
        return split_heads(q, self.num_heads), split_heads(k, self.num_heads), split_heads(v, self.num_heads)

    def fuse(self) -> nn.Cell:
        """W_q x + T_q x = (W_q + T_q) x, and the same for v: the plugin goes into the rows of qkv that make q and v."""
        weight = self.qkv.weight.asnumpy().astype(np.float64)
        if self.compensates:
            weight[:self.dim] += self.q_tocom.weight()
            weight[2 * self.dim:] += self.v_tocom.weight()
        merged = MergingAttention(self.dim, self.num_heads)
        merged.qkv, merged.proj = dense_of(weight, self.qkv.bias.asnumpy()), copy.deepcopy(self.proj)
        return merged.fuse()
