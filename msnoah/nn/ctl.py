"""Channel-time learning: time squeezed into channels is told apart again by weights, positions and context.

SqueezeTime, Zhai et al., 2024, https://arxiv.org/abs/2405.08344. Once the frames of a clip are channels, a 3x3
convolution mixes all of them. The block has one branch that weighs channels, and with them frames, by what the clip
shows (temporal focus), and one that gates a convolution by where things stand to each other (inter-object interaction).
"""

import copy

import numpy as np
from mindspore import Parameter, Tensor, nn

from msnoah.nn.conv_norm import ConvSequence, conv
from msnoah.nn.folding import affine, conv_before, scaled_conv
from msnoah.nn.position_map import fit_positions, position_map, resize_positions

CONTEXT_CHANNELS = 16


class ChannelTimeLearning(nn.Cell):
    """temporal_conv(w * x) + interaction(x, w * x), w = the importance of channels. (B, C_in, H, W) -> (B, C_out, H, W)

    position_size: height and width of the learnt position map; another size than the map's is resized to it.
    """

    def __init__(self, in_channels: int, out_channels: int, map_size: int, position_size: int):
        super().__init__()
        self.param_conv = ConvSequence(
            GlobalMean(), conv(in_channels, in_channels, 1), nn.BatchNorm2d(in_channels), nn.ReLU(),
            conv(in_channels, in_channels, 1), nn.Sigmoid())
        self.temporal_conv = conv(in_channels, out_channels, 1)
        self.spatial_conv = InterObjectInteraction(in_channels, out_channels, map_size, position_size)

    def construct(self, x):
        weighed = self.param_conv(x) * x                            # (B, C_in, 1, 1) * (B, C_in, H, W)
        return self.temporal_conv(weighed) + self.spatial_conv(x, weighed)

    def before(self, norm: nn.Cell) -> nn.Cell:
        """norm(y) as one block: scale * (T v + S * g) + shift = (scale * T) v + shift + (scale * S) * g.

        T is temporal_conv, S short_conv with its bias, and g the gate of the interaction, which no factor reaches.
        """
        fused = copy.deepcopy(self)
        scale, _ = affine(norm)
        fused.temporal_conv = conv_before(self.temporal_conv, norm)
        fused.spatial_conv.short_conv = scaled_conv(self.spatial_conv.short_conv, scale)
        return fused


class InterObjectInteraction(nn.Cell):
    """short_conv(x) * gate, the gate from the context of weighed channels. 2 of (B, C_in, H, W) -> (B, C_out, H, W)

    pos_embed (1, 16, P, P) restores what squeezing lost of order in time and space; it is added in the context.
    """

    def __init__(self, in_channels: int, out_channels: int, map_size: int, position_size: int):
        super().__init__()
        self.map_size, self.resizes = (map_size, map_size), True
        self.pos_embed = position_map(CONTEXT_CHANNELS, position_size)
        self.short_conv = conv(in_channels, out_channels, 3, bias=True)
        self.glo_conv = Context(
            conv(in_channels, CONTEXT_CHANNELS, 3, bias=True), nn.BatchNorm2d(CONTEXT_CHANNELS), nn.ReLU(),
            conv(CONTEXT_CHANNELS, CONTEXT_CHANNELS, 7, bias=True), nn.BatchNorm2d(CONTEXT_CHANNELS), nn.ReLU(),
            conv(CONTEXT_CHANNELS, out_channels, 3, bias=True), nn.Sigmoid())

    def construct(self, x, weighed):
        positions = fit_positions(self.pos_embed, weighed.shape[2:]) if self.resizes else self.pos_embed
        return self.short_conv(x) * self.glo_conv(weighed, positions)

    def adapt_weight(self, name: str, array: np.ndarray) -> np.ndarray | None:
        """A position map of another size as one of this size, for `load_checkpoint`; None of everything else."""
        is_position_map = name == "pos_embed" and array.ndim == 4 and array.shape[:2] == self.pos_embed.shape[:2]
        return resize_positions(array, self.pos_embed.shape[2:]) if is_position_map else None

    def fuse(self) -> nn.Cell:
        """Resizing the positions once, to the map that the model is built for, is resizing them at every call.

        The fused Cell refuses maps of another size: positions resized twice are not what the Cell adds to them.
        """
        fused = copy.deepcopy(self)
        fused.resizes = False
        resized = resize_positions(self.pos_embed.asnumpy(), self.map_size)
        fused.pos_embed = Parameter(Tensor(resized.astype(np.float32)))
        return fused


class Context(ConvSequence):
    """A ConvSequence to whose first three Cells' output positions are added. (B, C_in, H, W) -> (B, C_out, H, W)"""

    def construct(self, x, positions):
        for place, cell in enumerate(self.cell_list):
            x = cell(x)
            if place == 2:
                x = x + positions                                   # (B, 16, H, W) + (1, 16, H, W)
        return x


class GlobalMean(nn.Cell):
    """The mean over the map. (B, C, H, W) -> (B, C, 1, 1)"""

    def construct(self, x):
        return x.mean((2, 3), keep_dims=True)
