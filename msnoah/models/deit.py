"""DeiT, with LayerNorm as published, with PRepBN, and as SLAB-DeiT with linear attention.

Training data-efficient image transformers, Touvron et al., ICML 2021, https://arxiv.org/abs/2012.12877: a plain vision
transformer of 16x16 patches whose class token is classified. SLAB, Guo et al., ICML 2024,
https://arxiv.org/abs/2405.11582: its norms become RepBN, which folds away for inference, and in SLAB-DeiT every
attention is linear and the mean of the tokens is classified.

With softmax attention, tokens can be merged on the way (`tokens_merged`, see `token_merging`), and a plugin can make up
for merging more or fewer of them than in training (`source_degree`, see `models.tocom`).

As published, deit_t_prepbn has plain RepBN where deit_s_prepbn is progressive. Where ours differs: rates of stochastic
depth, sizes and norms are arguments of one class; SLAB-DeiT keeps the unused `cls_token` of the published checkpoints;
a model with a distillation token gives the mean of its two heads in training too.
"""

import copy
from collections.abc import Callable

from mindspore import Parameter, nn, ops
from mindspore.common.initializer import TruncatedNormal, initializer

from msnoah.errors import ModelError
from msnoah.nn.arguments import check_choice, check_counts, check_divisible, check_finite, check_positive, check_rate
from msnoah.nn.attention import Attention
from msnoah.nn.drop_path import drop_path_rates
from msnoah.nn.folding import dense_after, is_affine
from msnoah.nn.linear import linear
from msnoah.nn.linear_attention import LinearAttention
from msnoah.nn.merging_attention import CompensatedAttention, MergingAttention
from msnoah.nn.merging_block import MergingBlock
from msnoah.nn.merging_degrees import Degree, check_tokens, is_degree_list, set_compensation, spread
from msnoah.nn.patch_embed import PatchEmbed
from msnoah.nn.rep_norm import token_norm
from msnoah.nn.token_merging import TokenMerging
from msnoah.nn.transformer_block import TransformerBlock
from msnoah.registry import register_model

MakeBlock = Callable[[int, tuple[int, int], tuple], nn.Cell]
"""Number of the block, (embed_dim, num_heads), and (mlp_ratio, norm, norm_eps, drop_path_rate) to a block."""


class DeiT(nn.Cell):
    """Vision transformer. Images (B, in_channels, image_size, image_size) -> logits (B, num_classes)

    attention: "softmax" with a class token, whose last state is classified, or "linear" without one, where the mean of
    the tokens is. distilled: a second token and head, whose logits are averaged with the first ones. norm:
    "layer_norm", "rep_bn" or "prep_bn"; norm_eps is LayerNorm's.

    tokens_merged: ToMe's r, how many tokens each block merges, or a list with a number for each; merging_schedule:
    "constant", "decreasing" or "increasing" over the blocks. source_degree: what tokens_merged was in training, one
    number, of the same schedule, or a list; given, the model has ToCom's plugin (of tocom_units units a degree), which
    is added tocom_scale times. Raises ModelError for sizes that do not fit together.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, patch_size: int = 16,
        embed_dim: int = 192, depth: int = 12, num_heads: int = 3, mlp_ratio: float = 4.0, attention: str = "softmax",
        norm: str = "layer_norm", norm_eps: float = 1e-6, drop_path_rate: float = 0.0, distilled: bool = False,
        tokens_merged: Degree = 0, merging_schedule: str = "constant", source_degree: Degree | None = None,
        tocom_scale: float = 0.1, tocom_units: int = 2,
    ):
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, image_size=image_size, patch_size=patch_size,
                     embed_dim=embed_dim, depth=depth, num_heads=num_heads, tocom_units=tocom_units)
        check_positive(mlp_ratio=mlp_ratio, norm_eps=norm_eps)
        check_rate(drop_path_rate=drop_path_rate)
        check_finite(tocom_scale=tocom_scale)
        check_choice("attention", attention, ("softmax", "linear"))
        check_divisible({"image_size": image_size}, {"patch_size": patch_size})
        map_size = image_size // patch_size
        self.class_tokens = (1 + distilled) if attention == "softmax" else 0
        tokens = map_size ** 2 + self.class_tokens
        self._plan_merging(tokens_merged, source_degree, merging_schedule, depth)
        self.tocom_scale = tocom_scale
        _check_merging(self, attention, distilled, tokens)
        self.patch_embed = PatchEmbed(in_channels, embed_dim, patch_size)
        self.cls_token = Parameter(initializer(TruncatedNormal(0.02), (1, 1, embed_dim)))
        if distilled:
            self.dist_token = Parameter(initializer(TruncatedNormal(0.02), (1, 1, embed_dim)))
        self.pos_embed = Parameter(initializer(TruncatedNormal(0.02), (1, tokens, embed_dim)))
        make = _merging_block(self, tokens, tocom_units) if self.merges else _plain_block(attention, map_size)
        self.blocks = nn.CellList([
            make(block, (embed_dim, num_heads), (mlp_ratio, norm, norm_eps, rate))
            for block, rate in enumerate(drop_path_rates(drop_path_rate, depth))])
        self.norm = token_norm(norm, embed_dim, norm_eps)
        self.head = linear(embed_dim, num_classes)
        if distilled:
            self.head_dist = linear(embed_dim, num_classes)
        if self.source_degree is not None:
            set_compensation(self, self.source_degree, self.tokens_merged, tocom_scale)

    def _plan_merging(self, tokens_merged: Degree, source_degree: Degree | None, schedule: str, depth: int) -> None:
        """Numbers by block; a list has no schedule."""
        self.tokens_merged, self.source_degree = spread("tokens_merged", tokens_merged, depth, schedule), None
        if source_degree is not None:
            schedule = "constant" if is_degree_list(source_degree) else schedule
            self.source_degree = spread("source_degree", source_degree, depth, schedule)
        self.merges = any(self.tokens_merged) or source_degree is not None

    def construct(self, x):
        x = self.norm(self.encode(self.embed(x)))               # (B, C_in, H, W) -> (B, N, C)
        if self.class_tokens == 2:
            return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2
        x = x[:, 0] if self.class_tokens else x.mean(1)         # (B, N, C) -> (B, C)
        return self.head(x)

    def embed(self, x):
        """Images to tokens with positions, those that are classified first. (B, C_in, H, W) -> (B, N, C)"""
        x = self.patch_embed(x)                                 # (B, C_in, H, W) -> (B, N, C)
        if self.class_tokens == 2:
            x = ops.concat((ops.tile(self.dist_token, (x.shape[0], 1, 1)), x), 1)
        if self.class_tokens:
            x = ops.concat((ops.tile(self.cls_token, (x.shape[0], 1, 1)), x), 1)
        return x + self.pos_embed

    def encode(self, x):
        """The blocks. (B, N, C) -> (B, N, C), or fewer tokens where they are merged."""
        if not self.merges:
            for block in self.blocks:
                x = block(x)
            return x
        size = None
        for block in self.blocks:
            x, size = block(x, size)                            # (B, N, C) -> (B, N - r, C)
        return x

    def fuse(self) -> nn.Cell:
        """Picking or averaging tokens commutes with an affine map per channel, so the last norm folds into the heads.

        What the last block merges is not read any more: classified tokens are never merged.
        """
        fused = copy.deepcopy(self)
        if is_affine(self.norm):
            fused.norm, fused.head = nn.Identity(), dense_after(self.norm, self.head)
            if self.class_tokens == 2:
                fused.head_dist = dense_after(self.norm, self.head_dist)
        if not self.class_tokens:
            del fused.cls_token
        if self.merges:
            fused.blocks[-1].merge.count = 0
        return fused


def _plain_block(attention: str, map_size: int) -> MakeBlock:
    def make(block: int, shape: tuple[int, int], settings: tuple) -> nn.Cell:
        layer = LinearAttention(*shape, map_size) if attention == "linear" else Attention(*shape)
        return TransformerBlock(shape[0], layer, *settings)
    return make


def _merging_block(model: DeiT, tokens: int, plugin_units: int) -> MakeBlock:
    def make(block: int, shape: tuple[int, int], settings: tuple) -> nn.Cell:
        has_plugin = model.source_degree is not None
        layer = CompensatedAttention(*shape, tokens, plugin_units) if has_plugin else MergingAttention(*shape)
        return MergingBlock(shape[0], layer, *settings, TokenMerging(model.tokens_merged[block], model.class_tokens))
    return make


def _check_merging(model: DeiT, attention: str, distilled: bool, tokens: int) -> None:
    if attention == "linear" and (model.merges or distilled):
        what = "distilled" if distilled else "tokens_merged" if any(model.tokens_merged) else "source_degree"
        raise ModelError(f"{what}: linear attention has neither a class token nor merging; use attention='softmax'")
    check_tokens(model.tokens_merged, tokens, model.class_tokens)


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
def deit_tiny_distilled_patch16_224(**kwargs) -> DeiT:
    """DeiT-Ti with a distillation token: 5.9 M parameters."""
    return DeiT(**{**TINY, "distilled": True, "drop_path_rate": 0.1, **kwargs})


@register_model
def deit_small_distilled_patch16_224(**kwargs) -> DeiT:
    """DeiT-S with a distillation token: 22.4 M parameters."""
    return DeiT(**{**SMALL, "distilled": True, "drop_path_rate": 0.1, **kwargs})


@register_model
def deit_base_distilled_patch16_224(**kwargs) -> DeiT:
    """DeiT-B with a distillation token: 87.3 M parameters."""
    return DeiT(**{**BASE, "distilled": True, "drop_path_rate": 0.1, **kwargs})


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
