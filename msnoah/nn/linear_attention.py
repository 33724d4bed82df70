"""Simplified linear attention: a ReLU kernel in place of the softmax, and a depthwise convolution for what is near.

SLAB, Guo et al., ICML 2024, https://arxiv.org/abs/2405.11582, section 3.3. Its cost grows with N instead of N * N.
Here tokens lie last, (B, C, N), from one transposition before it to one after: heads then split without moving data,
and the depthwise convolution reads v as it lies.
"""

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from msnoah.nn.arguments import check_divisible
from msnoah.nn.folding import absorb_norm
from msnoah.nn.linear import linear

DENOMINATOR_EPS = 1e-6


class LinearAttention(nn.Cell):
    """Simplified linear attention over a square map of tokens. (B, N, C) -> (B, N, C), N = map_size ** 2"""

    def __init__(self, dim: int, num_heads: int, map_size: int, kernel_size: int = 5):
        super().__init__()
        check_divisible({"embed_dim": dim}, {"num_heads": num_heads})
        self.dim = dim
        self.num_heads = num_heads
        self.map_size = map_size
        self.positional_encoding = zeros(1, map_size ** 2, dim)
        self.qkv = linear(dim, 3 * dim)
        self.proj = linear(dim, dim)
        self.dwc = depthwise_conv(dim // num_heads, kernel_size)

    def construct(self, x):
        qkv = self.qkv(x).swapaxes(1, 2)                        # (B, N, C) -> (B, 3C, N)
        q, k, v = ops.split(qkv, self.dim, axis=1)              # (B, 3C, N) -> 3 of (B, C, N)
        k = k + self.positional_encoding.swapaxes(1, 2)
        near = shared_conv(self.dwc, v, (self.map_size, self.map_size))
        x = linear_attention(q, k, v, self.num_heads) + near
        return self.proj(x.swapaxes(1, 2))                      # (B, C, N) -> (B, N, C)

    def absorb(self, norm: nn.Cell) -> nn.Cell:
        """The attention that takes the norm's input: all of the norm's output goes into qkv, so it folds there."""
        return absorb_norm(self, norm, "qkv")


def linear_attention(q, k, v, num_heads: int):
    """relu(q_i) . sum_j relu(k_j) v_j / (relu(q_i) . sum_j relu(k_j) + 1e-6) in each head, in float32.

    q (B, C, Nq), k and v (B, C, Nk) -> (B, C, Nq). In float16 the 1e-6 would vanish and the sums overflow, so the product
    is computed in float32 whatever the model's precision. The cheaper of the two orders of the product is taken.
    """
    batch, channels, queries = q.shape
    dim, keys = channels // num_heads, k.shape[2]
    matmul, heads = ops.BatchMatMul(), (batch * num_heads, dim)
    q = ops.relu(q.astype(mstype.float32)).reshape(*heads, queries)     # (B, C, Nq) -> (B*heads, d, Nq)
    k = ops.relu(k.astype(mstype.float32)).reshape(*heads, keys)        # (B, C, Nk) -> (B*heads, d, Nk)
    values = v.astype(mstype.float32).reshape(*heads, keys)
    key_sum = k.sum(axis=2, keepdims=True)                              # (B*heads, d, 1)
    denominator = ops.BatchMatMul(transpose_a=True)(key_sum, q) + DENOMINATOR_EPS   # (B*heads, 1, Nq)
    if 2 * queries * keys * dim > dim * dim * (queries + keys):
        context = ops.BatchMatMul(transpose_b=True)(values, k)          # (B*heads, d, d)
        out = matmul(context, q)                                        # (B*heads, d, Nq)
    else:
        scores = ops.BatchMatMul(transpose_a=True)(k, q)                # (B*heads, Nk, Nq)
        out = matmul(values, scores)                                    # (B*heads, d, Nq)
    return (out / denominator).reshape(batch, channels, queries).astype(v.dtype)


def depthwise_conv(channels: int, kernel_size: int) -> nn.Conv2d:
    """One kernel a channel, the size kept by zero padding. (B, C, H, W) -> (B, C, H, W)"""
    padding = kernel_size // 2
    return nn.Conv2d(channels, channels, kernel_size, 1, "pad", padding, group=channels, has_bias=True)


def shared_conv(conv: nn.Conv2d, x, size: tuple[int, int]):
    """A convolution of d channels on every head's d channels of the map that the tokens are. (B, heads*d, H*W), same out"""
    heads_as_batch = x.reshape(-1, conv.in_channels, *size)             # (B, C, N) -> (B*heads, d, H, W)
    return conv(heads_as_batch).reshape(x.shape)


def zeros(*shape: int) -> Parameter:
    """A Parameter of zeros, where learnt encodings start."""
    return Parameter(Tensor(np.zeros(shape, np.float32)))
