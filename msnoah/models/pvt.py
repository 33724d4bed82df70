"""Pyramid Vision Transformer, with LayerNorm as published, with PRepBN, and as SLAB-PVT with linear attention.

PVT, Wang et al., ICCV 2021, https://arxiv.org/abs/2102.12122: four stages of halving resolution whose attention reads
keys and values from a map reduced by a strided convolution. SLAB, Guo et al., ICML 2024,
https://arxiv.org/abs/2405.11582: norms become PRepBN, which folds away for inference, and in SLAB-PVT linear attention
reads the whole map.

The published PVT classifies a class token that joins in the last stage, after a final norm; SLAB's variants have
neither and classify the mean of the tokens. Where ours differs: position embeddings have the size of the image and are
not resized; the interpolation of v in reduced linear attention is a product with a constant matrix.
"""

import copy

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import TruncatedNormal, initializer

from msnoah.errors import ModelError
from msnoah.nn.arguments import (
    check_counts, check_divisible, check_lengths, check_positive, check_rate, check_stages, letters,
)
from msnoah.nn.attention import join_heads, softmax_attention, split_heads
from msnoah.nn.drop_path import by_stage, drop_path_rates
from msnoah.nn.folding import absorb_norm, conv_after, dense_after, is_affine, scaled_rows
from msnoah.nn.linear import linear
from msnoah.nn.linear_attention import LinearProduct, depthwise_conv, shared_conv, zeros
from msnoah.nn.patch_embed import PatchEmbed, feature_map, tokens
from msnoah.nn.rep_norm import token_norm
from msnoah.nn.transformer_block import TransformerBlock
from msnoah.registry import register_model


class ReducedAttention(nn.Cell):
    """Softmax attention whose keys and values come from a map `sr_ratio` times smaller. (B, N, C) -> (B, N, C)

    The map is size x size; with sr_ratio 1 it is read as it is, and tokens of no map (a class token) may be among them.
    """

    def __init__(self, dim: int, num_heads: int, size: int, sr_ratio: int, norm: str, norm_eps: float):
        super().__init__()
        check_divisible({"embed_dim": dim}, {"num_heads": num_heads})
        check_divisible({"size of a stage": size}, {"sr_ratio": sr_ratio})
        self.dim, self.num_heads, self.size, self.sr_ratio = dim, num_heads, size, sr_ratio
        self.scale = (dim // num_heads) ** -0.5
        self.q = linear(dim, dim)
        self.kv = linear(dim, 2 * dim)
        self.proj = linear(dim, dim)
        if sr_ratio > 1:
            self.sr = nn.Conv2d(dim, dim, sr_ratio, sr_ratio, pad_mode="valid", has_bias=True)
            self.norm = token_norm(norm, dim, norm_eps)

    def construct(self, x):
        q = split_heads(self.q(x), self.num_heads)                              # (B, N, C) -> (B, heads, N, d)
        k, v = ops.split(self.kv(self.reduced(x)), self.dim, axis=-1)           # 2 of (B, N / sr^2, C)
        x = softmax_attention(q, split_heads(k, self.num_heads), split_heads(v, self.num_heads), self.scale)
        return self.proj(join_heads(x))

    def reduced(self, x):
        """The tokens of keys and values. (B, N, C) -> (B, N / sr_ratio ** 2, C)"""
        return self.norm(tokens(self.sr(feature_map(x, self.size, self.size)))) if self.sr_ratio > 1 else x

    def absorb(self, norm: nn.Cell) -> nn.Cell:
        """The attention that takes the norm's input: the norm folds into q, and into kv or the reduction before it.

        The reduction's stride is its kernel and it has no padding, so its fold is exact too.
        """
        if self.sr_ratio == 1:
            return absorb_norm(self, norm, "q", "kv")
        fused = absorb_norm(self, norm, "q")
        fused.sr = conv_after(norm, self.sr)
        return fused

    def fuse(self) -> nn.Cell:
        """(s q) k^T = s (q k^T): the scale moves into q. The norm of the reduction folds into kv, its only reader."""
        fused = copy.deepcopy(self)
        if self.sr_ratio > 1 and is_affine(self.norm):
            fused.norm, fused.kv = nn.Identity(), dense_after(self.norm, self.kv)
        fused.q, fused.scale = scaled_rows(self.q, self.dim, self.scale), 1.0
        return fused


class ReducedLinearAttention(ReducedAttention):
    """Simplified linear attention with keys and values from a map `sr_ratio` times smaller. (B, N, C) -> (B, N, C)

    The depthwise convolution needs v at full size: v is interpolated linearly along its row of tokens.
    """

    def __init__(self, dim: int, num_heads: int, size: int, sr_ratio: int, norm: str, norm_eps: float,
                 kernel_size: int = 5):
        super().__init__(dim, num_heads, size, sr_ratio, norm, norm_eps)
        self.scale = 1.0
        keys = (size // sr_ratio) ** 2
        self.positional_encoding = zeros(1, keys, dim)
        self.product = LinearProduct(num_heads)
        self.dwc = depthwise_conv(dim // num_heads, kernel_size)
        self.enlarging = Tensor(interpolation_matrix(keys, size * size))

    def construct(self, x):
        q = self.q(x).swapaxes(1, 2)                                            # (B, N, C) -> (B, C, N)
        kv = self.kv(self.reduced(x)).swapaxes(1, 2)                            # (B, N, C) -> (B, 2C, N / sr^2)
        k, v = ops.split(kv, self.dim, axis=1)                                  # 2 of (B, C, N / sr^2)
        k = k + self.positional_encoding.swapaxes(1, 2)
        x = self.product(q, k, v)                                               # (B, C, N)
        if self.sr_ratio > 1:
            rows = v.reshape(-1, v.shape[-1])                                   # (B, C, N / sr^2) -> (B*C, N / sr^2)
            v = ops.MatMul()(rows, self.enlarging.astype(v.dtype)).reshape(x.shape)     # -> (B, C, N)
        x = x + shared_conv(self.dwc, v, (self.size, self.size))
        return self.proj(x.swapaxes(1, 2))                                      # (B, C, N) -> (B, N, C)


def interpolation_matrix(count: int, full_count: int) -> np.ndarray:
    """M for which row @ M is a row of `count` numbers interpolated linearly to `full_count`. (count, full_count)

    Centres are half-pixel, and ends are held.
    """
    at = np.clip((np.arange(full_count) + 0.5) * count / full_count - 0.5, 0, count - 1)
    return np.maximum(0, 1 - np.abs(np.arange(count)[:, None] - at[None, :])).astype(np.float32)


class PVT(nn.Cell):
    """Pyramid vision transformer of four stages. Images (B, in_channels, image_size, image_size) -> (B, num_classes)

    attention_types: a letter for all stages or one a stage, S for softmax with reduction sr_ratios, L for linear with
    reduction linear_sr_ratios. class_token: whether one joins in stage 4 and is classified after a final norm, else the
    mean of the tokens is. norm: "layer_norm", "rep_bn" or "prep_bn"; norm_eps is LayerNorm's in blocks, embed_norm_eps
    in patch embeddings and reductions. Raises ModelError for sizes that do not fit together.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, patch_size: int = 4,
        embed_dims: tuple[int, ...] = (64, 128, 320, 512), depths: tuple[int, ...] = (2, 2, 2, 2),
        num_heads: tuple[int, ...] = (1, 2, 5, 8), mlp_ratios: tuple[float, ...] = (8, 8, 4, 4),
        sr_ratios: tuple[int, ...] = (8, 4, 2, 1), linear_sr_ratios: tuple[int, ...] = (1, 1, 1, 1),
        attention_types: str = "S", class_token: bool = False, norm: str = "layer_norm", norm_eps: float = 1e-6,
        embed_norm_eps: float = 1e-6, drop_path_rate: float = 0.0,
    ):
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, image_size=image_size, patch_size=patch_size,
                     embed_dims=embed_dims, num_heads=num_heads, sr_ratios=sr_ratios, linear_sr_ratios=linear_sr_ratios)
        check_positive(mlp_ratios=mlp_ratios, norm_eps=norm_eps, embed_norm_eps=embed_norm_eps)
        check_rate(drop_path_rate=drop_path_rate)
        check_stages("depths", depths)
        check_lengths(4, embed_dims=embed_dims, depths=depths, num_heads=num_heads, mlp_ratios=mlp_ratios,
                      sr_ratios=sr_ratios, linear_sr_ratios=linear_sr_ratios)
        check_divisible({"image_size": image_size}, {"8 * patch_size": 8 * patch_size})
        types = letters("attention_types", attention_types, 4, "SL")
        if class_token and (types[3], sr_ratios[3]) != ("S", 1):
            raise ModelError(f"class_token={class_token} needs stage 4 to have attention 'S' with sr_ratio 1, "
                             f"found {types[3]!r} with {sr_ratios[3]}")
        self.has_class_token = bool(class_token)
        self.sizes = [image_size // patch_size // 2 ** stage for stage in range(4)]
        ratios = [linear_sr_ratios[i] if kind == "L" else sr_ratios[i] for i, kind in enumerate(types)]
        rates = by_stage(drop_path_rates(drop_path_rate, sum(depths)), depths)
        channels = [in_channels, *embed_dims]
        for i, (dim, size) in enumerate(zip(embed_dims, self.sizes)):
            embed_norm = token_norm(norm, dim, embed_norm_eps)
            self._add_stage(
                i + 1, PatchEmbed(channels[i], dim, 2 if i else patch_size, embed_norm),
                _position(size * size + (i == 3 and self.has_class_token), dim),
                [TransformerBlock(dim, ATTENTIONS[types[i]](dim, num_heads[i], size, ratios[i], norm, embed_norm_eps),
                                  mlp_ratios[i], norm, norm_eps, rate) for rate in rates[i]],
            )
        if self.has_class_token:
            self.cls_token = _position(1, embed_dims[3])
        self.norm = token_norm(norm, embed_dims[3], norm_eps) if self.has_class_token else nn.Identity()
        self.head = linear(embed_dims[3], num_classes)

    def _add_stage(self, number: int, patch_embed: nn.Cell, pos_embed: Parameter, blocks: list[nn.Cell]) -> None:
        setattr(self, f"patch_embed{number}", patch_embed)
        setattr(self, f"pos_embed{number}", pos_embed)
        setattr(self, f"block{number}", nn.CellList(blocks))

    def construct(self, x):
        x = self.run(self.block1, self.patch_embed1(x) + self.pos_embed1)       # (B, C_in, H, W) -> (B, N, C1)
        x = self.run(self.block2, self.patch_embed2(self.as_map(x, 0)) + self.pos_embed2)       # -> (B, N / 4, C2)
        x = self.run(self.block3, self.patch_embed3(self.as_map(x, 1)) + self.pos_embed3)       # -> (B, N / 16, C3)
        x = self.patch_embed4(self.as_map(x, 2))                                # (B, N / 16, C3) -> (B, N / 64, C4)
        if self.has_class_token:
            x = ops.concat((ops.tile(self.cls_token, (x.shape[0], 1, 1)), x), 1)
        x = self.norm(self.run(self.block4, x + self.pos_embed4))
        x = x[:, 0] if self.has_class_token else x.mean(1)                      # (B, N / 64, C4) -> (B, C4)
        return self.head(x)

    def run(self, blocks, x):
        """The blocks of a stage, in order. (B, N, C) -> (B, N, C)"""
        for block in blocks:
            x = block(x)
        return x

    def as_map(self, x, stage: int):
        """A stage's tokens as a feature map. (B, N, C) -> (B, C, H, W)"""
        return feature_map(x, self.sizes[stage], self.sizes[stage])

    def fuse(self) -> nn.Cell:
        """Picking a token commutes with an affine map per channel, so a final norm folds into the head."""
        if not is_affine(self.norm):
            return self
        fused = absorb_norm(self, self.norm, "head")
        fused.norm = nn.Identity()
        return fused


ATTENTIONS = {"S": ReducedAttention, "L": ReducedLinearAttention}


def _position(count: int, dim: int) -> Parameter:
    return Parameter(initializer(TruncatedNormal(0.02), (1, count, dim)))


TINY = {"depths": (2, 2, 2, 2), "drop_path_rate": 0.0}
SMALL = {"depths": (3, 4, 6, 3), "drop_path_rate": 0.1}
MEDIUM = {"depths": (3, 4, 18, 3), "drop_path_rate": 0.3}
PUBLISHED = {"class_token": True, "embed_norm_eps": 1e-5}


@register_model
def pvt_tiny(**kwargs) -> PVT:
    """PVT-Tiny with LayerNorm and a class token: 13.2 M parameters."""
    return PVT(**{**TINY, **PUBLISHED, "drop_path_rate": 0.1, **kwargs})


@register_model
def pvt_small(**kwargs) -> PVT:
    """PVT-Small with LayerNorm and a class token: 24.5 M parameters."""
    return PVT(**{**SMALL, **PUBLISHED, **kwargs})


@register_model
def pvt_medium(**kwargs) -> PVT:
    """PVT-Medium with LayerNorm and a class token: 44.2 M parameters."""
    return PVT(**{**MEDIUM, **PUBLISHED, **kwargs})


@register_model
def pvt_t_prepbn(**kwargs) -> PVT:
    """PVT-Tiny with PRepBN: 13.240 M parameters."""
    return PVT(**{**TINY, "norm": "prep_bn", **kwargs})


@register_model
def pvt_s_prepbn(**kwargs) -> PVT:
    """PVT-Small with PRepBN: 24.508 M parameters."""
    return PVT(**{**SMALL, "norm": "prep_bn", **kwargs})


@register_model
def pvt_m_prepbn(**kwargs) -> PVT:
    """PVT-Medium with PRepBN: 44.253 M parameters."""
    return PVT(**{**MEDIUM, "norm": "prep_bn", **kwargs})


@register_model
def slab_pvt_t(**kwargs) -> PVT:
    """SLAB-PVT-T, linear attention and PRepBN: 12.158 M parameters."""
    return PVT(**{**TINY, "norm": "prep_bn", "attention_types": "L", **kwargs})


@register_model
def slab_pvt_s(**kwargs) -> PVT:
    """SLAB-PVT-S, linear attention and PRepBN: 21.684 M parameters."""
    return PVT(**{**SMALL, "norm": "prep_bn", "attention_types": "L", **kwargs})


@register_model
def slab_pvt_m(**kwargs) -> PVT:
    """SLAB-PVT-M, linear attention and PRepBN: 37.267 M parameters."""
    return PVT(**{**MEDIUM, "norm": "prep_bn", "attention_types": "L", **kwargs})
