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


class LinearAttention(nn.Cell):
    """Simplified linear attention over a square map of tokens. (B, N, C) -> (B, N, C), N = map_size ** 2"""

    def __init__(self, dim: int, num_heads: int, map_size: int, kernel_size: int = 5):
        super().__init__()
        check_divisible({"embed_dim": dim}, {"num_heads": num_heads})
        self.dim = dim
        self.map_size = map_size
        self.positional_encoding = zeros(1, map_size ** 2, dim)
        self.qkv = linear(dim, 3 * dim)
        self.proj = linear(dim, dim)
        self.product = LinearProduct(num_heads)
        self.dwc = depthwise_conv(dim // num_heads, kernel_size)

    def construct(self, x):
        qkv = self.qkv(x).swapaxes(1, 2)                        # (B, N, C) -> (B, 3C, N)
        q, k, v = ops.split(qkv, self.dim, axis=1)              # (B, 3C, N) -> 3 of (B, C, N)
        k = k + self.positional_encoding.swapaxes(1, 2)
        near = shared_conv(self.dwc, v, (self.map_size, self.map_size))
        x = self.product(q, k, v) + near
        return self.proj(x.swapaxes(1, 2))                      # (B, C, N) -> (B, N, C)

    def absorb(self, norm: nn.Cell) -> nn.Cell:
        """The attention that takes the norm's input: all of the norm's output goes into qkv, so it folds there."""
        return absorb_norm(self, norm, "qkv")


class LinearProduct(nn.Cell):
    """relu(q_i) . sum_j relu(k_j) v_j / (relu(q_i) . sum_j relu(k_j) + 1e-6) in each head, in float32.

    q (B, C, Nq), k and v (B, C, Nk) -> (B, C, Nq). In float16 the 1e-6 would vanish and the sums overflow, so the
    product is computed in float32 whatever the model's precision. The cheaper of its two orders is taken.
    """

    def __init__(self, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.eps = 1e-6
        self.to_float(mstype.float32)

    def add_flags(self, **flags) -> nn.Cell:
        """Keeps the precision at float32, whichever one the model around it is set to (amp levels O1 to O3)."""
        kept = {"fp16": False, "fp32": True, "bf16": False}
        return super().add_flags(**{name: kept.get(name, value) for name, value in flags.items()})

    def construct(self, q, k, v):
        batch, channels, queries = q.shape
        dim, keys = channels // self.num_heads, k.shape[2]
        rows = batch * self.num_heads
        q = ops.relu(q).reshape(rows, dim, queries)                             # (B, C, Nq) -> (B*heads, d, Nq)
        k = ops.relu(k).reshape(rows, dim, keys)                                # (B, C, Nk) -> (B*heads, d, Nk)
        values = v.reshape(rows, dim, keys)
        key_sum = k.sum(axis=2, keepdims=True)                                  # (B*heads, d, 1)
        denominator = ops.BatchMatMul(transpose_a=True)(key_sum, q) + self.eps  # (B*heads, 1, Nq)
        if 2 * queries * keys * dim > dim * dim * (queries + keys):
            context = ops.BatchMatMul(transpose_b=True)(values, k)              # (B*heads, d, d)
            out = ops.BatchMatMul()(context, q)                                 # (B*heads, d, Nq)
        else:
            scores = ops.BatchMatMul(transpose_a=True)(k, q)                    # (B*heads, Nk, Nq)
            out = ops.BatchMatMul()(values, scores)                             # (B*heads, d, Nq)
        return (out / denominator).reshape(batch, channels, queries)


def depthwise_conv(channels: int, kernel_size: int) -> nn.Conv2d:
    """One kernel a channel, the size kept by zero padding. (B, C, H, W) -> (B, C, H, W)"""
    padding = kernel_size // 2
    return nn.Conv2d(channels, channels, kernel_size, 1, "pad", padding, group=channels, has_bias=True)


def shared_conv(conv: nn.Conv2d, x, size: tuple[int, int]):
    """A convolution of d channels on every head's part of a map whose tokens lie last. (B, heads*d, H*W), same out"""
    heads_as_batch = x.reshape(-1, conv.in_channels, *size)             # (B, C, N) -> (B*heads, d, H, W)
    return conv(heads_as_batch).reshape(x.shape)


def zeros(*shape: int) -> Parameter:
    """A Parameter of zeros, where learnt encodings start."""
    return Parameter(Tensor(np.zeros(shape, np.float32)))
