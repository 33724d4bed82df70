"""SLAB-CSWin: cross-shaped windows with linear attention in early stages and PRepBN.

CSWin Transformer, Dong et al., CVPR 2022, https://arxiv.org/abs/2107.00652: half of the heads attend in vertical
stripes of the map, half in horizontal ones, and a depthwise convolution of v carries position. SLAB, Guo et al., ICML
2024, https://arxiv.org/abs/2405.11582: norms become PRepBN, which folds away for inference, and the first two stages
have linear attention over the whole map.

Where ours differs: inside a block tokens lie last, (B, C, N), so that heads split without moving data; the map is cut
into stripes only where it has more than one; the unused `scale` of the published checkpoints is kept.
"""

import copy

from mindspore import nn, ops

from msnoah.nn.arguments import (
    check_counts, check_divisible, check_lengths, check_positive, check_rate, check_stages, letters,
)
from msnoah.nn.drop_path import by_stage, drop_path, drop_path_rates
from msnoah.nn.folding import absorb_norm, conv_before, dense_after, is_affine, scaled_rows
from msnoah.nn.linear import linear
from msnoah.nn.linear_attention import LinearProduct, depthwise_conv, shared_conv, zeros
from msnoah.nn.mlp import MLP
from msnoah.nn.patch_embed import feature_map, tokens
from msnoah.nn.rep_norm import token_norm
from msnoah.nn.windows import cut_channel_windows, join_channel_windows
from msnoah.registry import register_model


class StripeAttention(nn.Cell):
    """Softmax attention in stripes, plus a depthwise 3x3 convolution of v (LePE). q, k, v (B, C, N) -> (B, C, N)

    The map is size x size and a stripe (h, w) of it; a stripe that is the whole map is not cut. Equation 7 of CSWin.
    """

    def __init__(self, dim: int, num_heads: int, size: int, stripe: tuple[int, int]):
        super().__init__()
        check_divisible({"channels of a branch": dim}, {"its heads": num_heads})
        self.num_heads, self.size, self.stripe = num_heads, (size, size), stripe
        self.is_cut = stripe != (size, size)
        self.scale = (dim // num_heads) ** -0.5
        self.get_v = depthwise_conv(dim, 3)

    def construct(self, q, k, v):
        q, k, v = self.cut(q), self.cut(k), self.cut(v)             # 3 of (B, C, N) -> (B*S, C, n)
        return self.join(self.attend(q, k, v) + shared_conv(self.get_v, v, self.stripe))

    def attend(self, q, k, v):
        """softmax(scale * q k^T) v in each head and stripe. 3 of (B*S, C, n) -> (B*S, C, n)"""
        stripes, channels, count = q.shape
        heads = (stripes, self.num_heads, channels // self.num_heads, count)
        q = (q if self.scale == 1.0 else q * self.scale).reshape(heads)     # (B*S, heads, d, n)
        scores = ops.softmax(ops.BatchMatMul(transpose_a=True)(q, k.reshape(heads)), -1)    # (B*S, heads, n, n)
        out = ops.BatchMatMul(transpose_b=True)(v.reshape(heads), scores)   # (B*S, heads, d, n)
        return out.reshape(stripes, channels, count)

    def cut(self, x):
        """(B, C, N) -> (B * stripes, C, n)"""
        return cut_channel_windows(x, self.size, self.stripe) if self.is_cut else x

    def join(self, x):
        """(B * stripes, C, n) -> (B, C, N)"""
        return join_channel_windows(x, self.size, self.stripe) if self.is_cut else x


class LinearStripeAttention(StripeAttention):
    """Simplified linear attention in stripes, plus two depthwise convolutions of v. q, k, v (B, C, N) -> (B, C, N)

    `get_v` (3x3) has a kernel a channel; `dwc` has one a channel of a head, shared by all heads.
    """

    def __init__(self, dim: int, num_heads: int, size: int, stripe: tuple[int, int], kernel_size: int = 5):
        super().__init__(dim, num_heads, size, stripe)
        self.scale = zeros(1, 1, dim)
        self.positional_encoding = zeros(1, stripe[0] * stripe[1], dim)
        self.product = LinearProduct(num_heads)
        self.dwc = depthwise_conv(dim // num_heads, kernel_size)

    def attend(self, q, k, v):
        """Linear attention and `dwc` in each head and stripe. 3 of (B*S, C, n) -> (B*S, C, n)"""
        k = k + self.positional_encoding.swapaxes(1, 2)
        return self.product(q, k, v) + shared_conv(self.dwc, v, self.stripe)


class CSWinBlock(nn.Cell):
    """A pre-norm block whose heads attend in one branch over the map or in two, of vertical and horizontal stripes.

    (B, size * size, C) -> (B, size * size, C)
    """

    def __init__(self, dim: int, num_heads: int, size: int, split: int, attention_type: str, mlp_ratio: float,
                 norm: str, norm_eps: float, drop_rate: float):
        super().__init__()
        check_divisible({"size of a stage": size}, {"split_size": split})
        stripes = [(size, size)] if split == size else [(size, split), (split, size)]
        check_divisible({"num_heads": num_heads}, {"branches": len(stripes)})
        self.dim, self.branches = dim, len(stripes)
        self.is_linear = attention_type == "L"
        attention = LinearStripeAttention if self.is_linear else StripeAttention
        self.qkv = linear(dim, 3 * dim)
        self.norm1 = token_norm(norm, dim, norm_eps)
        self.proj = linear(dim, dim)
        self.attns = nn.CellList([
            attention(dim // len(stripes), num_heads // len(stripes), size, stripe) for stripe in stripes])
        self.drop_path1 = drop_path(drop_rate)
        self.mlp = MLP(dim, int(dim * mlp_ratio))
        self.norm2 = token_norm(norm, dim, norm_eps)
        self.drop_path2 = drop_path(drop_rate)

    def construct(self, x):
        qkv = self.qkv(self.norm1(x)).swapaxes(1, 2)                # (B, N, C) -> (B, 3C, N)
        attended = self.proj(self.attend(qkv).swapaxes(1, 2))       # (B, C, N) -> (B, N, C)
        x = x + self.drop_path1(attended)
        return x + self.drop_path2(self.mlp(self.norm2(x)))

    def attend(self, qkv):
        """All branches, each on its share of the channels. (B, 3C, N) -> (B, C, N)"""
        if self.branches == 1:
            q, k, v = ops.split(qkv, self.dim, axis=1)
            return self.attns[0](q, k, v)
        q0, q1, k0, k1, v0, v1 = ops.split(qkv, self.dim // 2, axis=1)
        return ops.concat((self.attns[0](q0, k0, v0), self.attns[1](q1, k1, v1)), 1)

    def fuse(self) -> nn.Cell:
        """norm1 folds into qkv, norm2 into fc1; the scale of softmax attention moves into the rows of qkv for q."""
        fused = copy.deepcopy(self)
        if is_affine(self.norm1):
            fused.norm1, fused.qkv = nn.Identity(), dense_after(self.norm1, self.qkv)
            fused.norm2, fused.mlp.fc1 = nn.Identity(), dense_after(self.norm2, self.mlp.fc1)
        if not self.is_linear:
            fused.qkv = scaled_rows(fused.qkv, self.dim, self.attns[0].scale)
            for attention in fused.attns:
                attention.scale = 1.0
        return fused


class MergeBlock(nn.Cell):
    """Halves the map: a 3x3 convolution of stride 2, then a norm. (B, H*W, C_in) -> (B, H*W / 4, C)"""

    def __init__(self, in_channels: int, dim: int, size: int, norm: str, norm_eps: float):
        super().__init__()
        self.size = size
        self.conv = nn.Conv2d(in_channels, dim, 3, 2, "pad", 1, has_bias=True)
        self.norm = token_norm(norm, dim, norm_eps)

    def construct(self, x):
        x = self.conv(feature_map(x, self.size, self.size))         # (B, N, C_in) -> (B, C, H / 2, W / 2)
        return self.norm(tokens(x))                                 # (B, C, H / 2, W / 2) -> (B, N / 4, C)

    def fuse(self) -> nn.Cell:
        """norm(conv(x)) = scale * (W x + b) + shift: the norm folds back into the convolution."""
        if not is_affine(self.norm):
            return self
        fused = copy.deepcopy(self)
        fused.conv, fused.norm = conv_before(self.conv, self.norm), nn.Identity()
        return fused


class CSWin(nn.Cell):
    """CSWin Transformer of four stages. Images (B, in_channels, image_size, image_size) -> logits (B, num_classes)

    patch_size: stride of the overlapping convolution that makes tokens; its kernel is 2 * patch_size - 1. split_sizes:
    width of the stripes a stage, for softmax attention; the last stage and linear attention see the whole map.
    attention_types: a letter for all stages or one a stage, S for softmax, L for linear. norm: "layer_norm", "rep_bn"
    or "prep_bn"; norm_eps is LayerNorm's. Raises ModelError for sizes that do not fit together.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, patch_size: int = 4,
        embed_dim: int = 64, depths: tuple[int, ...] = (2, 4, 18, 1), num_heads: tuple[int, ...] = (2, 4, 8, 16),
        split_sizes: tuple[int, ...] = (1, 2, 7, 7), mlp_ratio: float = 4.0, attention_types: str = "LLSS",
        norm: str = "prep_bn", norm_eps: float = 1e-5, drop_path_rate: float = 0.1,
    ):
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, image_size=image_size, patch_size=patch_size,
                     embed_dim=embed_dim, num_heads=num_heads, split_sizes=split_sizes)
        check_positive(mlp_ratio=mlp_ratio, norm_eps=norm_eps)
        check_rate(drop_path_rate=drop_path_rate)
        check_stages("depths", depths)
        check_lengths(4, depths=depths, num_heads=num_heads, split_sizes=split_sizes)
        check_divisible({"image_size": image_size}, {"8 * patch_size": 8 * patch_size})
        types = letters("attention_types", attention_types, 4, "SL")
        dims = [embed_dim * 2 ** stage for stage in range(4)]
        sizes = [image_size // patch_size // 2 ** stage for stage in range(4)]
        splits = [sizes[i] if i == 3 or types[i] == "L" else split_sizes[i] for i in range(4)]
        rates = by_stage(drop_path_rates(drop_path_rate, sum(depths)), depths)
        self.stage1_conv_embed = nn.CellList([
            nn.Conv2d(in_channels, embed_dim, 2 * patch_size - 1, patch_size, "pad", patch_size // 2, has_bias=True),
            nn.Identity(),
            token_norm(norm, embed_dim, norm_eps),
        ])
        for i in range(4):
            setattr(self, f"stage{i + 1}", nn.CellList([
                CSWinBlock(dims[i], num_heads[i], sizes[i], splits[i], types[i], mlp_ratio, norm, norm_eps, rate)
                for rate in rates[i]
            ]))
        for i in range(3):
            setattr(self, f"merge{i + 1}", MergeBlock(dims[i], dims[i + 1], sizes[i], norm, norm_eps))
        self.norm = token_norm(norm, dims[3], norm_eps)
        self.head = linear(dims[3], num_classes)

    def construct(self, x):
        x = tokens(self.stage1_conv_embed[0](x))                    # (B, C_in, H, W) -> (B, N, C)
        x = self.run(self.stage1, self.stage1_conv_embed[2](x))
        x = self.run(self.stage2, self.merge1(x))                   # (B, N, C) -> (B, N / 4, 2C)
        x = self.run(self.stage3, self.merge2(x))                   # (B, N / 4, 2C) -> (B, N / 16, 4C)
        x = self.run(self.stage4, self.merge3(x))                   # (B, N / 16, 4C) -> (B, N / 64, 8C)
        return self.head(self.norm(x).mean(1))                      # (B, N / 64, 8C) -> (B, num_classes)

    def run(self, blocks, x):
        """The blocks of a stage, in order. (B, N, C) -> (B, N, C)"""
        for block in blocks:
            x = block(x)
        return x

    def fuse(self) -> nn.Cell:
        """The norm of the embedding folds back into its convolution; the mean of tokens commutes with an affine map per
        channel, so the last norm folds into the head."""
        if not is_affine(self.norm):
            return self
        fused = absorb_norm(self, self.norm, "head")
        conv, _, norm = self.stage1_conv_embed
        fused.norm = nn.Identity()
        fused.stage1_conv_embed = nn.CellList([conv_before(conv, norm), nn.Identity(), nn.Identity()])
        return fused


@register_model
def slab_cswin_t(**kwargs) -> CSWin:
    """SLAB-CSWin-T, linear attention in two stages and PRepBN: 21.228 M parameters."""
    return CSWin(**{"depths": (2, 4, 18, 1), "drop_path_rate": 0.1, **kwargs})


@register_model
def slab_cswin_s(**kwargs) -> CSWin:
    """SLAB-CSWin-S, linear attention in two stages and PRepBN: 35.494 M parameters."""
    return CSWin(**{"depths": (2, 4, 32, 2), "drop_path_rate": 0.3, **kwargs})
