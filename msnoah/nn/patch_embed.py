"""Images, or feature maps, into tokens by a convolution over separate patches."""

import copy

from mindspore import nn

from msnoah.nn.folding import conv_before, is_affine


class PatchEmbed(nn.Cell):
    """A convolution whose stride is its kernel, then tokens row by row, then a norm. (B, C_in, H, W) -> (B, N, C)"""

    def __init__(self, in_channels: int, dim: int, patch_size: int, norm: nn.Cell | None = None):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch_size, patch_size, pad_mode="valid", has_bias=True)
        self.norm = nn.Identity() if norm is None else norm

    def construct(self, x):
        return self.norm(tokens(self.proj(x)))

    def fuse(self) -> nn.Cell:
        """norm(proj(x)) = scale * (W x + b) + shift: the norm folds back into the convolution and its bias."""
        if not is_affine(self.norm):
            return self
        fused = copy.deepcopy(self)
        fused.proj, fused.norm = conv_before(self.proj, self.norm), nn.Identity()
        return fused


def tokens(x):
    """A feature map as tokens, row by row. (B, C, H, W) -> (B, H*W, C)"""
    batch, channels = x.shape[:2]
    return x.reshape(batch, channels, -1).swapaxes(1, 2)


def feature_map(x, height: int, width: int):
    """Tokens as the feature map that they came from. (B, H*W, C) -> (B, C, H, W)"""
    batch, _, channels = x.shape
    return x.swapaxes(1, 2).reshape(batch, channels, height, width)
