"""Multi-head softmax attention over all tokens."""

import copy

from mindspore import nn, ops

from msnoah.nn.arguments import check_divisible
from msnoah.nn.folding import absorb_norm, scaled_rows
from msnoah.nn.linear import linear


class Attention(nn.Cell):
    """softmax(q k^T / sqrt(d)) v in each head, then a linear layer. (B, N, C) -> (B, N, C)

    Attention Is All You Need, Vaswani et al., 2017, https://arxiv.org/abs/1706.03762.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        check_divisible({"embed_dim": dim}, {"num_heads": num_heads})
        self.dim = dim
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = linear(dim, 3 * dim)
        self.proj = linear(dim, dim)

    def construct(self, x):
        q, k, v = self.project(x)                                   # (B, N, C) -> 3 of (B, heads, N, d)
        x = softmax_attention(q, k, v, self.scale)                  # (B, heads, N, d)
        return self.proj(join_heads(x))                             # (B, heads, N, d) -> (B, N, C)

    def project(self, x):
        """Queries, keys and values by head. (B, N, C) -> 3 of (B, heads, N, d)"""
        q, k, v = ops.split(self.qkv(x), self.dim, axis=-1)         # (B, N, C) -> 3 of (B, N, C)
        return split_heads(q, self.num_heads), split_heads(k, self.num_heads), split_heads(v, self.num_heads)

    def absorb(self, norm: nn.Cell) -> nn.Cell:
        """The attention that takes the norm's input: all of the norm's output goes into qkv, so it folds there."""
        return absorb_norm(self, norm, "qkv")

    def fuse(self) -> nn.Cell:
        """(s q) k^T = s (q k^T): the scale moves into the rows of qkv that make q."""
        fused = copy.deepcopy(self)
        fused.qkv, fused.scale = scaled_rows(self.qkv, self.dim, self.scale), 1.0
        return fused


def softmax_attention(q, k, v, scale: float = 1.0, bias=None):
    """softmax(scale * q k^T + bias) v. q, k, v (..., heads, N, d), bias as (..., heads, N, N) -> (..., heads, N, d)"""
    scores = ops.BatchMatMul(transpose_b=True)(q if scale == 1.0 else q * scale, k)     # (..., heads, Nq, Nk)
    if bias is not None:
        scores = scores + bias.astype(scores.dtype)
    return ops.BatchMatMul()(ops.softmax(scores, -1), v)


def split_heads(x, num_heads: int):
    """(B, N, C) -> (B, heads, N, C / heads)"""
    batch, count, dim = x.shape
    return x.reshape(batch, count, num_heads, dim // num_heads).transpose(0, 2, 1, 3)


def join_heads(x):
    """(B, heads, N, d) -> (B, N, heads * d)"""
    batch, num_heads, count, dim = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, count, num_heads * dim)
