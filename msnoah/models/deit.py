"""DeiT, with LayerNorm as published, with PRepBN, and as SLAB-DeiT with linear attention.

Training data-efficient image transformers, Touvron et al., ICML 2021, https://arxiv.org/abs/2012.12877: a plain vision
transformer of 16x16 patches whose class token is classified. SLAB, Guo et al., ICML 2024,
https://arxiv.org/abs/2405.11582: its norms become RepBN, which folds away for inference, and in SLAB-DeiT every
attention is linear and the mean of the tokens is classified.

As published, deit_t_prepbn has plain RepBN where deit_s_prepbn is progressive. Where ours differs: rates of stochastic
depth, sizes and norms are arguments of one class; SLAB-DeiT keeps the unused `cls_token` of the published checkpoints.
"""

import copy

from mindspore import Parameter, nn, ops
from mindspore.common.initializer import TruncatedNormal, initializer

from msnoah.nn.arguments import check_choice, check_counts, check_divisible, check_positive, check_rate
from msnoah.nn.attention import Attention
from msnoah.nn.drop_path import drop_path_rates
from msnoah.nn.folding import dense_after, is_affine
from msnoah.nn.linear import linear
from msnoah.nn.linear_attention import LinearAttention
from msnoah.nn.patch_embed import PatchEmbed
from msnoah.nn.rep_norm import token_norm
from msnoah.nn.transformer_block import TransformerBlock
from msnoah.registry import register_model


class DeiT(nn.Cell):
    """Vision transformer. Images (B, in_channels, image_size, image_size) -> logits (B, num_classes)

    attention: "softmax" with a class token, whose last state is classified, or "linear" without one, where the mean of
    the tokens is. norm: "layer_norm", "rep_bn" or "prep_bn"; norm_eps is LayerNorm's. Raises ModelError for sizes that
    do not fit together.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, patch_size: int = 16,
        embed_dim: int = 192, depth: int = 12, num_heads: int = 3, mlp_ratio: float = 4.0, attention: str = "softmax",
        norm: str = "layer_norm", norm_eps: float = 1e-6, drop_path_rate: float = 0.0,
    ):
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, image_size=image_size, patch_size=patch_size,
                     embed_dim=embed_dim, depth=depth, num_heads=num_heads)
        check_positive(mlp_ratio=mlp_ratio, norm_eps=norm_eps)
        check_rate(drop_path_rate=drop_path_rate)
        check_choice("attention", attention, ("softmax", "linear"))
        check_divisible({"image_size": image_size}, {"patch_size": patch_size})
        self.has_class_token = attention == "softmax"
        map_size = image_size // patch_size
        self.patch_embed = PatchEmbed(in_channels, embed_dim, patch_size)
        self.cls_token = Parameter(initializer(TruncatedNormal(0.02), (1, 1, embed_dim)))
        count = map_size ** 2 + self.has_class_token
        self.pos_embed = Parameter(initializer(TruncatedNormal(0.02), (1, count, embed_dim)))
        self.blocks = nn.CellList([
            TransformerBlock(
                embed_dim, _attention(attention, embed_dim, num_heads, map_size), mlp_ratio, norm, norm_eps, rate)
            for rate in drop_path_rates(drop_path_rate, depth)
        ])
        self.norm = token_norm(norm, embed_dim, norm_eps)
        self.head = linear(embed_dim, num_classes)

    def construct(self, x):
        x = self.patch_embed(x)                                 # (B, C_in, H, W) -> (B, N, C)
        if self.has_class_token:
            cls_token = ops.tile(self.cls_token, (x.shape[0], 1, 1))
            x = ops.concat((cls_token, x), 1)                   # (B, N, C) -> (B, 1 + N, C)
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        x = x[:, 0] if self.has_class_token else x.mean(1)      # (B, N, C) -> (B, C)
        return self.head(x)

    def fuse(self) -> nn.Cell:
        """Picking or averaging tokens commutes with an affine map per channel, so the last norm folds into the head."""
        fused = copy.deepcopy(self)
        if is_affine(self.norm):
            fused.norm, fused.head = nn.Identity(), dense_after(self.norm, self.head)
        if not self.has_class_token:
            del fused.cls_token
        return fused


def _attention(kind: str, dim: int, num_heads: int, map_size: int) -> nn.Cell:
    return LinearAttention(dim, num_heads, map_size) if kind == "linear" else Attention(dim, num_heads)


TINY = {"embed_dim": 192, "num_heads": 3}
SMALL = {"embed_dim": 384, "num_heads": 6}
BASE = {"embed_dim": 768, "num_heads": 12}


@register_model
def deit_tiny_patch16_224(**kwargs) -> DeiT:
    """DeiT-Ti with LayerNorm: 5.7 M parameters."""
    return DeiT(**{**TINY, "drop_path_rate": 0.1, **kwargs})


@register_model
def deit_small_patch16_224(**kwargs) -> DeiT:
    """DeiT-S with LayerNorm: 22.1 M parameters."""
    return DeiT(**{**SMALL, "drop_path_rate": 0.1, **kwargs})


@register_model
def deit_base_patch16_224(**kwargs) -> DeiT:
    """DeiT-B with LayerNorm: 86.6 M parameters."""
    return DeiT(**{**BASE, "drop_path_rate": 0.1, **kwargs})


@register_model
def deit_t_prepbn(**kwargs) -> DeiT:
    """DeiT-Ti with RepBN (not progressive, as published): 5.717 M parameters."""
    return DeiT(**{**TINY, "norm": "rep_bn", **kwargs})


@register_model
def deit_s_prepbn(**kwargs) -> DeiT:
    """DeiT-S with PRepBN: 22.070 M parameters."""
    return DeiT(**{**SMALL, "norm": "prep_bn", **kwargs})


@register_model
def slab_deit_t(**kwargs) -> DeiT:
    """SLAB-DeiT-T, linear attention and PRepBN: 6.198 M parameters."""
    return DeiT(**{**TINY, "norm": "prep_bn", "attention": "linear", **kwargs})


@register_model
def slab_deit_s(**kwargs) -> DeiT:
    """SLAB-DeiT-S, linear attention and PRepBN: 22.993 M parameters."""
    return DeiT(**{**SMALL, "norm": "prep_bn", "attention": "linear", **kwargs})
