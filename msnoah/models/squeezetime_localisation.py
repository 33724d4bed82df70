"""SqueezeTime for temporal action localisation: when what happens in a long video, as for THUMOS14.

No Time to Waste: Squeeze Time into Channel for Mobile Video Understanding, Zhai et al., 2024,
https://arxiv.org/abs/2405.08344, names the task and leaves the pipeline open; this is ours. A window slides over the
video, and stages 3 and 4 of the backbone, averaged over space, are one step of a sequence. The head is anchor-free, as
in ActionFormer, Zhang et al., ECCV 2022, https://arxiv.org/abs/2202.07925, and AFSD, Lin et al., CVPR 2021,
https://arxiv.org/abs/2103.13137: at each point of a pyramid over time, a score a class and the distances to start and
end. Its layers are convolutions in place of ActionFormer's attention.

`msnoah.data.temporal_segments` has the points, the targets and the decoding. Windows need no map of 224 pixels: 96 will do.
"""

import math

from mindspore import nn, ops
from mindspore.common.initializer import HeNormal, Normal

from msnoah.models.squeezetime import Backbone, SqueezeTimeNet
from msnoah.nn.arguments import check_counts
from msnoah.nn.conv_norm import ConvSequence
from msnoah.registry import register_model

RARE = math.log(0.01 / 0.99)   # logit of a class before training, since most points show none (RetinaNet)


class SqueezeTimeFeatures(nn.Cell):
    """Features of windows. (N, in_channels, num_frames, H, W), or the same as images -> (N, C3 + C4)

    The means over the maps of stages 3 and 4. Arguments are those of `SqueezeTimeNet`; `out_channels` is C3 + C4.
    Raises ModelError for sizes that do not fit together.
    """

    def __init__(
        self, in_channels: int = 3, num_frames: int = 16, image_size: int = 96, depth: int = 50, base_width: int = 64,
        spatial_strides: tuple[int, ...] = (1, 2, 2, 2), position_sizes: tuple[int, ...] | None = None,
    ):
        super().__init__()
        net = SqueezeTimeNet(in_channels, num_frames, image_size, depth, base_width, spatial_strides, position_sizes)
        self.backbone = Backbone(net)
        self.out_channels = sum(net.out_channels[2:])

    def construct(self, x):
        _, _, stage3, stage4 = self.backbone(x)
        return ops.concat((stage3.mean((2, 3)), stage4.mean((2, 3))), 1)


class LocalisationHead(nn.Cell):
    """What happens at each point of a pyramid over time. (B, in_channels, L) -> logits (B, P, K), distances (B, P, 2)

    Distances to start and end are positive and in strides of the point's level. P counts the points of all levels, the
    finest first; a level has half the points of the one before it, rounded up (see `temporal_points`).

    Args:
        num_classes: K; each class has a sigmoid of its own.
        in_channels: features of a step.
        channels: of the head's layers.
        levels: of the pyramid.
        depth: layers before the pyramid, and layers of each branch before its last one.
    """

    def __init__(self, num_classes: int = 20, in_channels: int = 3072, channels: int = 256, levels: int = 5,
                 depth: int = 2):
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, channels=channels, levels=levels, depth=depth)
        self.in_channels = in_channels
        sizes = [in_channels, *[channels] * depth]
        self.embedding = nn.SequentialCell([_normed(*pair) for pair in zip(sizes, sizes[1:])])
        self.pyramid = nn.CellList([_normed(channels, channels, 2) for _ in range(levels - 1)])
        self.classifier = _branch(channels, depth, num_classes, RARE)
        self.regressor = _branch(channels, depth, 2, 1.0)

    def input_shapes(self) -> list[list[int]]:
        """Shape of the input for one sequence of 128 steps; it takes others."""
        return [[1, self.in_channels, 128]]

    def construct(self, x):
        x = self.embedding(x.expand_dims(2))                        # (B, C_in, L) -> (B, C, 1, L)
        logits, distances = (self.classifier(x),), (self.regressor(x),)
        for halve in self.pyramid:
            x = halve(x)                                            # (B, C, 1, L) -> (B, C, 1, L / 2)
            logits, distances = (*logits, self.classifier(x)), (*distances, self.regressor(x))
        return _points_last(logits), ops.softplus(_points_last(distances))


def _points_last(levels):
    """(B, K, 1, L) of each level -> (B, P, K)"""
    return ops.concat(levels, -1).squeeze(2).swapaxes(1, 2)


def _normed(in_channels: int, out_channels: int, stride: int = 1) -> ConvSequence:
    """(B, in, 1, L) -> (B, out, 1, L / stride)"""
    return ConvSequence(
        _time_conv(in_channels, out_channels, stride=stride), nn.BatchNorm2d(out_channels), nn.ReLU())


def _branch(channels: int, depth: int, outputs: int, bias: float) -> nn.SequentialCell:
    """Layers without norms, since all levels share them and their statistics differ. (B, C, 1, L) -> (B, K, 1, L)"""
    hidden = [layer for _ in range(depth) for layer in (_time_conv(channels, channels, bias="zeros"), nn.ReLU())]
    last = nn.Conv2d(channels, outputs, (1, 3), pad_mode="pad", padding=(0, 0, 1, 1), has_bias=True,
                     weight_init=Normal(0.01), bias_init=bias)
    return nn.SequentialCell([*hidden, last])


def _time_conv(in_channels: int, out_channels: int, stride: int = 1, bias: str | None = None) -> nn.Conv2d:
    """A convolution of three steps, of maps of height 1 that any runtime reads. (B, in, 1, L) -> (B, out, 1, L / s)"""
    return nn.Conv2d(in_channels, out_channels, (1, 3), (1, stride), "pad", (0, 0, 1, 1), has_bias=bias is not None,
                     weight_init=HeNormal(mode="fan_out", nonlinearity="relu"), bias_init=bias)


class SqueezeTimeLocaliser(nn.Cell):
    """Windows of videos, `length` of each -> logits (B, P, K), distances (B, P, 2), as `LocalisationHead` gives them

    Windows are (B * length, in_channels, num_frames, H, W), or the same as images, a video's one after the other. For
    videos that are watched as they run, export `features` and `head` each by itself: features of a window are computed
    once. Arguments are those of `SqueezeTimeFeatures` and `LocalisationHead` (channels, levels). Raises ModelError for
    sizes that do not fit together.
    """

    def __init__(
        self, num_classes: int = 20, length: int = 128, in_channels: int = 3, num_frames: int = 16,
        image_size: int = 96, depth: int = 50, base_width: int = 64, spatial_strides: tuple[int, ...] = (1, 2, 2, 2),
        position_sizes: tuple[int, ...] | None = None, channels: int = 256, levels: int = 5,
    ):
        super().__init__()
        check_counts(length=length)
        self.length, self.clip_shape = length, [in_channels, num_frames, image_size, image_size]
        self.features = SqueezeTimeFeatures(
            in_channels, num_frames, image_size, depth, base_width, spatial_strides, position_sizes)
        self.head = LocalisationHead(num_classes, self.features.out_channels, channels, levels)

    def input_shapes(self) -> list[list[int]]:
        """Shape of the input for one video."""
        return [[self.length, *self.clip_shape]]

    def construct(self, x):
        x = self.features(x)                                        # (B * L, C, T, H, W) -> (B * L, F)
        return self.head(x.reshape(-1, self.length, x.shape[-1]).swapaxes(1, 2))


@register_model
def squeezetime_r50_features(**kwargs) -> SqueezeTimeFeatures:
    """Features of windows by SqueezeTime of depth 50, 3072 each: 28.706 M parameters, 1.01 GMACs at 16x96x96."""
    return SqueezeTimeFeatures(**{"depth": 50, **kwargs})


@register_model
def squeezetime_localisation_head(**kwargs) -> LocalisationHead:
    """The head for THUMOS14's 20 classes, over features that were computed before: 4.150 M parameters."""
    return LocalisationHead(**kwargs)


@register_model
def squeezetime_r50_thumos14(**kwargs) -> SqueezeTimeLocaliser:
    """SqueezeTime of depth 50 and the head as one, for THUMOS14's 20 classes: 128 windows of 16x96x96 a video."""
    return SqueezeTimeLocaliser(**{"depth": 50, **kwargs})
