"""Softmax attention between the places of a map, with biases by position, in which maps stay maps.

EfficientFormerV2, Li et al., ICCV 2023, https://arxiv.org/abs/2212.08059, figures 2 (d) and (e).
"""

import copy

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from msnoah.nn.bilinear import ResizeBilinear
from msnoah.nn.conv_norm import ConvSequence, conv_with_bias
from msnoah.nn.position_bias import BIAS_RESIZES, Size, resize_table

HEADS = 8


class MapAttention(nn.Cell):
    """proj(enlarge(softmax(q^T k / sqrt(d) + bias) v + v_local(v))). (B, C, H, W) -> (B, C_out, H', W')

    key_dim: channels of a head's queries and keys; its values have four times as many. map_size: of the keys.
    query_stride: queries stand at every such place. table_size: the map for whose distances biases are learnt.
    bias_resize: one of BIAS_RESIZES. table_name: what published weights call the table of biases, (8, h0 * w0).
    """

    def __init__(
        self, dim: int, out_dim: int, key_dim: int, map_size: Size, query_stride: int, table_size: Size,
        bias_resize: str, table_name: str,
    ):
        super().__init__()
        self.scale = key_dim ** -0.5
        self.looks_up, self.table_name = True, table_name
        setattr(self, table_name, _constant(np.zeros((HEADS, table_size[0] * table_size[1]))))
        self.lookup = BIAS_RESIZES[bias_resize](table_size, map_size, query_stride)
        values = HEADS * key_dim * 4
        self.stride_conv, self.enlarge = nn.Identity(), nn.Identity()
        self.k = conv_norm(dim, HEADS * key_dim)
        self.v = conv_norm(dim, values)
        self.v_local = conv_norm(values, values, 3, query_stride, group=values)
        self.proj = ConvSequence(nn.GELU(approximate=False), conv_with_bias(values, out_dim), nn.BatchNorm2d(out_dim))

    def construct(self, x):
        x = self.stride_conv(x)                                     # (B, C, H, W) -> (B, C, h, w)
        v = self.v(x)
        weights = self.weigh(by_head(self.q(x)), by_head(self.k(x)))
        y = ops.BatchMatMul(transpose_b=True)(by_head(v), weights)  # -> (B, heads, d, Nq)
        local = self.v_local(v)
        return self.proj(self.enlarge(y.reshape(local.shape) + local))

    def products(self, q, k):
        """q^T k / sqrt(d). 2 of (B, heads, d, N) -> (B, heads, Nq, Nk)"""
        return ops.BatchMatMul(transpose_a=True)(q if self.scale == 1.0 else q * self.scale, k)

    def bias(self):
        """(heads, Nq, Nk)"""
        table = getattr(self, self.table_name)
        return self.lookup(table) if self.looks_up else table

    def adapt_weight(self, name: str, array: np.ndarray) -> np.ndarray | None:
        """Biases learnt on a square map of another size, for `load_checkpoint`; None of everything else."""
        fits = name == self.table_name and array.ndim == 2 and len(array) == HEADS
        return resize_table(array, self.lookup.table_size) if fits else None

    def scaled(self, scale: np.ndarray) -> nn.Cell:
        """scale * attention(x) of a fused attention, a factor for every channel: it goes into proj."""
        scaled = copy.deepcopy(self)
        scaled.proj = self.proj.scaled(scale)
        return scaled

    def fuse(self) -> nn.Cell:
        """(s q)^T k = s q^T k, so the scale moves into q; the biases do not depend on x, so they are looked up once."""
        fused = copy.deepcopy(self)
        fused.q, fused.scale = self.q.scaled(self.scale), 1.0
        fused.looks_up, fused.lookup = False, nn.Identity()
        setattr(fused, self.table_name, _constant(self.known_bias()))
        return fused

    def known_bias(self) -> np.ndarray:
        """What a fused attention adds to its scores, in float64. (heads, Nq, Nk)"""
        return self.lookup.resolve(getattr(self, self.table_name).asnumpy())


class TalkingAttention(MapAttention):
    """Attention whose heads are mixed with each other before and after the softmax. (B, C, H, W) -> (B, C, H, W)

    Talking-Heads Attention, Shazeer et al., 2020, https://arxiv.org/abs/2003.02436. Of stride 2, the map is halved
    before and doubled again, with bilinear interpolation, before the activation. map_size and table_size are of x.
    """

    def __init__(
        self, dim: int, map_size: Size, stride: int, table_size: Size, bias_resize: str = "flat",
        table_name: str = "attention_biases",
    ):
        small, small_table = _divided(map_size, stride), _divided(table_size, stride)
        super().__init__(dim, dim, 32, small, 1, small_table, bias_resize, table_name)
        self.q = conv_norm(dim, HEADS * 32)
        self.talking_head1 = conv_with_bias(HEADS, HEADS)
        self.talking_head2 = conv_with_bias(HEADS, HEADS)
        if stride > 1:
            self.stride_conv, self.enlarge = conv_norm(dim, dim, 3, stride, group=dim), ResizeBilinear(map_size)

    def weigh(self, q, k):
        """2 of (B, heads, d, N) -> (B, heads, N, N)"""
        return self.talking_head2(ops.softmax(self.scores(q, k), -1))

    def scores(self, q, k):
        """Biases before the first mixing of heads, or, mixed with them already, after it. (B, heads, N, N)"""
        if self.looks_up:
            return self.talking_head1(self.products(q, k) + self.bias())
        return self.talking_head1(self.products(q, k)) + self.bias()

    def known_bias(self) -> np.ndarray:
        """W (q^T k + b) + c = (W (q^T k) + c) + W b, so fused biases are already mixed. float64 (heads, N, N)"""
        mixing = self.talking_head1.weight.asnumpy().astype(np.float64).reshape(HEADS, HEADS)
        return np.tensordot(mixing, super().known_bias(), 1)


class DownsamplingAttention(MapAttention):
    """Attention from every second place of a map to all of it. (B, C, H, W) -> (B, C_out, H / 2, W / 2)"""

    def __init__(
        self, dim: int, out_dim: int, map_size: Size, table_size: Size, bias_resize: str = "flat",
        table_name: str = "attention_biases",
    ):
        super().__init__(dim, out_dim, 16, map_size, 2, table_size, bias_resize, table_name)
        self.q = LocalGlobalQuery(dim, HEADS * 16)

    def weigh(self, q, k):
        """(B, heads, d, N / 4), (B, heads, d, N) -> (B, heads, N / 4, N)"""
        return ops.softmax(self.products(q, k) + self.bias(), -1)


class LocalGlobalQuery(nn.Cell):
    """proj(local(x) + every second place of x). (B, C, H, W) -> (B, C_out, H / 2, W / 2)"""

    def __init__(self, dim: int, out_dim: int):
        super().__init__()
        self.pool = nn.AvgPool2d(1, 2)  # MindSpore's gradient of x[:, :, ::2, ::2] writes out of bounds outside graphs
        self.local = ConvSequence(conv_with_bias(dim, dim, 3, 2, group=dim))
        self.proj = conv_norm(dim, out_dim)

    def construct(self, x):
        return self.proj(self.local(x) + self.pool(x))

    def fuse(self) -> nn.Cell:
        """The middle of the local kernel stands on every second place of x, so 1 is added to its weight there."""
        local = copy.deepcopy(self.local[0])
        weight = local.weight.asnumpy().copy()
        weight[:, 0, 1, 1] += 1
        local.weight = _constant(weight)
        return ConvSequence(local, *self.proj.cell_list)


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, group: int = 1,
) -> ConvSequence:
    """A convolution with a bias, then BatchNorm. (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride))"""
    return ConvSequence(
        conv_with_bias(in_channels, out_channels, kernel_size, stride, group), nn.BatchNorm2d(out_channels))


def by_head(x):
    """(B, C, H, W) -> (B, heads, C / heads, H * W)"""
    batch, channels = x.shape[:2]
    return x.reshape(batch, HEADS, channels // HEADS, -1)


def _divided(size: Size, stride: int) -> Size:
    return size[0] // stride, size[1] // stride


def _constant(array: np.ndarray) -> Parameter:
    return Parameter(Tensor(array.astype(np.float32)))
