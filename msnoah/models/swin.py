"""Swin Transformer, with LayerNorm as published, with RepBN, and as SLAB-Swin with linear attention in early stages.

Swin Transformer, Liu et al., ICCV 2021, https://arxiv.org/abs/2103.14030: attention inside small windows that shift
from block to block, in stages of halving resolution. SLAB, Guo et al., ICML 2024, https://arxiv.org/abs/2405.11582:
norms become RepBN, which folds away for inference; in SLAB-Swin the first two stages have linear attention over the
whole map.

As published, swin_t_prepbn has plain RepBN where SLAB-Swin is progressive. Where ours differs: roll and window cut are
one reordering of tokens; the position bias and the mask of shifted windows are added as one; the last norm folds into
the head and not into the last stage's residual stream.
"""

import numpy as np
from mindspore import Tensor, nn, ops

from msnoah.errors import ModelError
from msnoah.nn.arguments import (check_counts, check_divisible, check_lengths, check_positive, check_rate, check_stages,
                                 letters)
from msnoah.nn.drop_path import by_stage, drop_path_rates
from msnoah.nn.folding import absorb_norm, is_affine
from msnoah.nn.linear import linear
from msnoah.nn.linear_attention import LinearAttention
from msnoah.nn.patch_embed import PatchEmbed
from msnoah.nn.rep_norm import token_norm
from msnoah.nn.transformer_block import TransformerBlock
from msnoah.nn.window_attention import WindowAttention
from msnoah.nn.windows import cut_windows, join_windows, shifted_window_mask, shifted_window_order
from msnoah.registry import register_model


class SwinBlock(TransformerBlock):
    """A transformer block whose attention sees one window of the map, shifted by half a window where `shifted`.

    (B, size * size, C) -> (B, size * size, C). A map no larger than the window is one window and does not shift.
    """

    def __init__(self, dim: int, num_heads: int, size: int, window: int, shifted: bool, mlp_ratio: float, norm: str,
                 norm_eps: float, drop_rate: float):
        window = min(window, size)
        shift = window // 2 if shifted and window < size else 0
        mask = shifted_window_mask(size, window, shift) if shift else None
        super().__init__(dim, WindowAttention(dim, num_heads, window, mask), mlp_ratio, norm, norm_eps, drop_rate)
        check_divisible({"size of a stage": size}, {"window_size": window})
        self.size, self.window = (size, size), (window, window)
        self.is_cut, self.is_shifted = window < size, shift > 0
        order = shifted_window_order(size, window, shift)
        self.order, self.place = Tensor(order), Tensor(np.argsort(order).astype(np.int32))

    def construct(self, x):
        attended = self.attn(self.to_windows(self.norm1(x)))
        x = x + self.drop_path1(self.from_windows(attended))
        return x + self.drop_path2(self.mlp(self.norm2(x)))

    def to_windows(self, x):
        """(B, N, C) -> (B * windows, n, C)"""
        if self.is_shifted:
            return ops.gather(x, self.order, 1).reshape(-1, self.window[0] * self.window[1], x.shape[-1])
        return cut_windows(x, self.size, self.window) if self.is_cut else x

    def from_windows(self, x):
        """(B * windows, n, C) -> (B, N, C)"""
        if self.is_shifted:
            return ops.gather(x.reshape(-1, self.size[0] * self.size[1], x.shape[-1]), self.place, 1)
        return join_windows(x, self.size, self.window) if self.is_cut else x


class PatchMerging(nn.Cell):
    """Joins 2 x 2 tokens into one: norm of the four, then a linear layer. (B, H*W, C) -> (B, H*W / 4, 2C)"""

    def __init__(self, dim: int, size: int, norm: str, norm_eps: float):
        super().__init__()
        if size % 2:
            raise ModelError(f"image_size: it leaves a stage of {size}x{size} tokens, which cannot be halved")
        self.half = size // 2
        self.norm = token_norm(norm, 4 * dim, norm_eps)
        self.reduction = linear(4 * dim, 2 * dim, bias=False)

    def construct(self, x):
        batch, _, channels = x.shape
        x = x.reshape(batch, self.half, 2, self.half, 2, channels).transpose(0, 1, 3, 4, 2, 5)
        x = x.reshape(batch, self.half * self.half, 4 * channels)   # order (h0 w0, h1 w0, h0 w1, h1 w1)
        return self.reduction(self.norm(x))                         # (B, N / 4, 4C) -> (B, N / 4, 2C)

    def fuse(self) -> nn.Cell:
        """W (scale * x + shift) = (W * scale) x + W shift: the reduction takes the norm in, and a bias with it."""
        if not is_affine(self.norm):
            return self
        fused = absorb_norm(self, self.norm, "reduction")
        fused.norm = nn.Identity()
        return fused


class SwinStage(nn.Cell):
    """Blocks of one resolution, then PatchMerging unless it is the last. (B, N, C) -> (B, N / 4, 2C) or (B, N, C)"""

    def __init__(self, dim: int, size: int, num_heads: int, window: int, attention_type: str, rates: list[float],
                 is_last: bool, mlp_ratio: float, norm: str, norm_eps: float):
        super().__init__()
        self.blocks = nn.CellList([
            TransformerBlock(dim, LinearAttention(dim, num_heads, size), mlp_ratio, norm, norm_eps, rate)
            if attention_type == "L" else
            SwinBlock(dim, num_heads, size, window, number % 2 == 1, mlp_ratio, norm, norm_eps, rate)
            for number, rate in enumerate(rates)
        ])
        self.downsample = nn.Identity() if is_last else PatchMerging(dim, size, norm, norm_eps)

    def construct(self, x):
        for block in self.blocks:
            x = block(x)
        return self.downsample(x)


class Swin(nn.Cell):
    """Swin Transformer. Images (B, in_channels, image_size, image_size) -> logits (B, num_classes)

    attention_types: a letter for all stages or one a stage, S for softmax in windows, L for linear over the whole map.
    norm: "layer_norm", "rep_bn" or "prep_bn"; norm_eps is LayerNorm's. Raises ModelError for sizes that do not fit.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, patch_size: int = 4,
        embed_dim: int = 96, depths: tuple[int, ...] = (2, 2, 6, 2), num_heads: tuple[int, ...] = (3, 6, 12, 24),
        window_size: int = 7, mlp_ratio: float = 4.0, attention_types: str = "S", norm: str = "layer_norm",
        norm_eps: float = 1e-5, drop_path_rate: float = 0.1,
    ):
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, image_size=image_size, patch_size=patch_size,
                     embed_dim=embed_dim, num_heads=num_heads, window_size=window_size)
        check_positive(mlp_ratio=mlp_ratio, norm_eps=norm_eps)
        check_rate(drop_path_rate=drop_path_rate)
        check_stages("depths", depths)
        types = letters("attention_types", attention_types, len(depths), "SL")
        check_lengths(len(depths), num_heads=num_heads)
        check_divisible({"image_size": image_size}, {"patch_size": patch_size})
        self.patch_embed = PatchEmbed(in_channels, embed_dim, patch_size, token_norm(norm, embed_dim, norm_eps))
        dims = [embed_dim * 2 ** stage for stage in range(len(depths))]
        sizes = [image_size // patch_size // 2 ** stage for stage in range(len(depths))]
        rates = by_stage(drop_path_rates(drop_path_rate, sum(depths)), depths)
        self.layers = nn.CellList([
            SwinStage(dim, size, heads, window_size, kind, rate, dim == dims[-1], mlp_ratio, norm, norm_eps)
            for dim, size, heads, kind, rate in zip(dims, sizes, num_heads, types, rates)
        ])
        self.norm = token_norm(norm, dims[-1], norm_eps)
        self.head = linear(dims[-1], num_classes)

    def construct(self, x):
        x = self.patch_embed(x)                                     # (B, C_in, H, W) -> (B, N, C)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(1))                      # (B, N, C) -> (B, C) -> (B, num_classes)

    def fuse(self) -> nn.Cell:
        """The mean of tokens commutes with an affine map per channel, so the last norm folds into the head."""
        if not is_affine(self.norm):
            return self
        fused = absorb_norm(self, self.norm, "head")
        fused.norm = nn.Identity()
        return fused


TINY = {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)}
SMALL = {"embed_dim": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)}
BASE = {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)}
SLAB = {"norm": "prep_bn", "attention_types": "LLSS"}


@register_model
def swin_tiny_patch4_window7_224(**kwargs) -> Swin:
    """Swin-T with LayerNorm: 28.3 M parameters."""
    return Swin(**{**TINY, "drop_path_rate": 0.2, **kwargs})


@register_model
def swin_small_patch4_window7_224(**kwargs) -> Swin:
    """Swin-S with LayerNorm: 49.6 M parameters."""
    return Swin(**{**SMALL, "drop_path_rate": 0.3, **kwargs})


@register_model
def swin_base_patch4_window7_224(**kwargs) -> Swin:
    """Swin-B with LayerNorm: 87.8 M parameters."""
    return Swin(**{**BASE, "drop_path_rate": 0.5, **kwargs})


@register_model
def swin_t_prepbn(**kwargs) -> Swin:
    """Swin-T with RepBN (not progressive, as published): 28.288 M parameters."""
    return Swin(**{**TINY, "norm": "rep_bn", "drop_path_rate": 0.1, **kwargs})


@register_model
def slab_swin_t(**kwargs) -> Swin:
    """SLAB-Swin-T, linear attention in two stages and PRepBN: 29.217 M parameters."""
    return Swin(**{**TINY, **SLAB, "drop_path_rate": 0.2, **kwargs})


@register_model
def slab_swin_s(**kwargs) -> Swin:
    """SLAB-Swin-S, linear attention in two stages and PRepBN: 50.553 M parameters."""
    return Swin(**{**SMALL, **SLAB, "drop_path_rate": 0.3, **kwargs})


@register_model
def slab_swin_b(**kwargs) -> Swin:
    """SLAB-Swin-B, linear attention in two stages and PRepBN: 89.029 M parameters."""
    return Swin(**{**BASE, **SLAB, "drop_path_rate": 0.5, **kwargs})
