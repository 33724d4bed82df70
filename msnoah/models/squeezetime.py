"""SqueezeTime: a 2-D network over videos, whose frames are channels of one image.

No Time to Waste: Squeeze Time into Channel for Mobile Video Understanding, Zhai et al., 2024,
https://arxiv.org/abs/2405.08344: a clip (3, T, H, W) is read as an image of 3 * T channels by a ResNet whose 3x3
convolutions are channel-time learning blocks, which win back what squeezing loses of time.

Where ours differs: the depths 10, 18 and 34, of which the paper says little, have basic blocks of two channel-time
learning blocks, both with positions of their stage's size; strides other than 2 have a kernel of their own size.
"""

import numpy as np
from mindspore import nn, ops
from mindspore.common.initializer import HeNormal, Normal

from msnoah.errors import ModelError
from msnoah.nn.arguments import check_choice, check_counts, check_lengths, check_rate
from msnoah.nn.conv_norm import ConvSequence, conv, fold_norms
from msnoah.nn.ctl import ChannelTimeLearning
from msnoah.nn.dropout import dropout
from msnoah.registry import register_model


class ResidualBlock(nn.Cell):
    """relu(body(x) + shortcut(x)) of a map that is first made smaller. (B, C_in, H, W) -> (B, C_out, H / s, W / s)

    Children say what the body is, and in `norms` which of its layers is normalised by which norm.
    """

    norms: dict[str, str]
    expansion: int

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        out_channels = channels * self.expansion
        self.downsample = _downsample(in_channels, stride) if stride > 1 else nn.Identity()
        self.shortcut_conv = nn.Identity() if in_channels == out_channels else ConvSequence(
            conv(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))

    def construct(self, x):
        x = self.downsample(x)
        return ops.relu(self.body(x) + self.shortcut_conv(x))

    def fuse(self) -> nn.Cell:
        """Every norm of the body folds into the layer before it."""
        return fold_norms(self, self.norms)


class BasicBlock(ResidualBlock):
    """A residual block of two channel-time learning blocks, for the depths 10, 18 and 34."""

    norms = {"conv1": "bn1", "conv2": "bn2"}
    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, map_size: int, position_size: int):
        super().__init__(in_channels, channels, stride)
        self.conv1 = ChannelTimeLearning(in_channels, channels, map_size, position_size)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = ChannelTimeLearning(channels, channels, map_size, position_size)
        self.bn2 = nn.BatchNorm2d(channels)

    def body(self, x):
        """(B, C_in, H, W) -> (B, C, H, W)"""
        x = ops.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Bottleneck(ResidualBlock):
    """A residual block with one channel-time learning block between 1x1 convolutions, for the depths from 50 on."""

    norms = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3"}
    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, map_size: int, position_size: int):
        super().__init__(in_channels, channels, stride)
        self.conv1 = conv(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = ChannelTimeLearning(channels, channels, map_size, position_size)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = conv(channels, 4 * channels, 1)
        self.bn3 = nn.BatchNorm2d(4 * channels)

    def body(self, x):
        """(B, C_in, H, W) -> (B, 4C, H, W)"""
        x = ops.relu(self.bn1(self.conv1(x)))
        x = ops.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


def _downsample(channels: int, stride: int) -> ConvSequence:
    """A kernel a channel over separate squares. (B, C, H, W) -> (B, C, H / stride, W / stride)"""
    return ConvSequence(
        nn.Conv2d(channels, channels, stride, stride, "valid", group=channels, has_bias=True,
                  weight_init=HeNormal(mode="fan_out", nonlinearity="relu"), bias_init="zeros"),
        nn.BatchNorm2d(channels))


class StemPool(nn.Cell):
    """The largest number of 3x3 places at every second place, borders included. (B, C, H, W) -> (B, C, H / 2, W / 2)

    It follows a ReLU, so zeros around the map change no maximum; MindSpore's own padded pooling is a volume's.
    """

    def __init__(self):
        super().__init__()
        # not ops.pad: in a compiled training step its tenth call never returns (MindSpore 2.10, CPU)
        self.pad = nn.Pad(((0, 0), (0, 0), (1, 1), (1, 1)))
        self.pool = nn.MaxPool2d(3, 2, "valid")

    def construct(self, x):
        return self.pool(self.pad(x))


DEPTHS = {
    10: (BasicBlock, (1, 1, 1, 1)), 18: (BasicBlock, (2, 2, 2, 2)), 34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)), 101: (Bottleneck, (3, 4, 23, 3)), 152: (Bottleneck, (3, 8, 36, 3)),
}


class SqueezeTimeNet(nn.Cell):
    """The backbone. Clips (B, in_channels, num_frames, H, W), or (B, in_channels * num_frames, H, W) -> 4 stages' maps

    Args:
        in_channels: of a frame.
        num_frames: of a clip; channel c of frame t is channel c * num_frames + t of the image.
        image_size: height and width that the model is built for; other sizes work, with positions resized to them.
        depth: one of DEPTHS.
        base_width: channels of the stem; stages have 1, 2, 4 and 8 times as many, times 4 from depth 50 on.
        spatial_strides: of the first block of every stage; (1, 2, 2, 1) keeps the last map large for detection.
        position_sizes: of the position maps of every stage; None is the size of the stage's map.

    `out_channels` and `map_sizes` have one number a stage. Raises ModelError for sizes that do not fit together, and in
    training ValueError for a single clip.
    """

    def __init__(
        self, in_channels: int = 3, num_frames: int = 16, image_size: int = 224, depth: int = 50, base_width: int = 64,
        spatial_strides: tuple[int, ...] = (1, 2, 2, 2), position_sizes: tuple[int, ...] | None = None,
    ):
        super().__init__()
        check_counts(in_channels=in_channels, num_frames=num_frames, image_size=image_size, base_width=base_width)
        check_choice("depth", depth, DEPTHS)
        check_lengths(4, spatial_strides=spatial_strides)
        check_counts(spatial_strides=spatial_strides)
        block, counts = DEPTHS[depth]
        self.map_sizes = _map_sizes(image_size, spatial_strides)
        position_sizes = self.map_sizes if position_sizes is None else position_sizes
        check_lengths(4, position_sizes=position_sizes)
        check_counts(position_sizes=position_sizes)
        self.in_channels, self.num_frames = in_channels, num_frames
        self.out_channels = [base_width * 2 ** stage * block.expansion for stage in range(4)]
        self.conv1 = conv(in_channels * num_frames, base_width, 5, 2)
        self.bn1 = nn.BatchNorm2d(base_width)
        self.maxpool = StemPool()
        widths = [base_width, *self.out_channels]
        for stage, count in enumerate(counts):
            sizes = (self.map_sizes[stage], position_sizes[stage])
            channels = base_width * 2 ** stage
            setattr(self, f"layer{stage + 1}", nn.SequentialCell([
                block(widths[stage], channels, spatial_strides[stage], *sizes),
                *[block(self.out_channels[stage], channels, 1, *sizes) for _ in range(count - 1)],
            ]))

    def construct(self, x):
        if self.training and x.shape[0] == 1:   # the weights of channels are one number a clip, so without a variance
            raise ValueError("SqueezeTime trains on batches of at least 2 clips, found 1")
        if x.ndim == 5:
            x = x.reshape(-1, x.shape[1] * x.shape[2], *x.shape[3:])    # (B, C, T, H, W) -> (B, C * T, H, W)
        x = self.maxpool(ops.relu(self.bn1(self.conv1(x))))         # (B, C * T, H, W) -> (B, C1, H / 4, W / 4)
        stage1 = self.layer1(x)
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        return stage1, stage2, stage3, self.layer4(stage3)

    def adapt_weight(self, name: str, array: np.ndarray) -> np.ndarray | None:
        """conv1 of clips of another length, or of images, for `load_checkpoint`; None of everything else."""
        if name != "conv1.weight" or array.ndim != 4 or array.shape[1] % self.in_channels:
            return None
        return spread_over_time(array, self.in_channels, self.num_frames)

    def fuse(self) -> nn.Cell:
        """bn1 folds into conv1."""
        return fold_norms(self, {"conv1": "bn1"})


def spread_over_time(weight: np.ndarray, in_channels: int, num_frames: int) -> np.ndarray:
    """A first convolution for clips of another number of frames. (O, C * t, k, k) -> (O, C * T, k, k)

    Every frame has a stretch of the clip; its weight goes to the new frames by their parts of the stretch. The sum over
    time stays, so a clip of one repeated image has the answer that it had, or that the image had if t is 1.
    """
    by_frame = weight.reshape(weight.shape[0], in_channels, -1, *weight.shape[2:]).astype(np.float64)
    old, new = (np.linspace(0, 1, count + 1) for count in (by_frame.shape[2], num_frames))
    ends, starts = np.minimum(new[1:, None], old[None, 1:]), np.maximum(new[:-1, None], old[None, :-1])
    parts = np.maximum(0, ends - starts) * by_frame.shape[2]        # (T, t), each column sums to 1
    return np.einsum("Tt,octhw->ocThw", parts, by_frame).reshape(weight.shape[0], -1, *weight.shape[2:])


def _map_sizes(image_size: int, spatial_strides: tuple[int, ...]) -> list[int]:
    size, sizes = -(-image_size // 4), []
    for stride in spatial_strides:
        size = size // stride
        sizes.append(size)
    if size < 1:
        raise ModelError(f"image_size={image_size}: strides {tuple(spatial_strides)} leave nothing of its map of "
                         f"{-(-image_size // 4)}x{-(-image_size // 4)}")
    return sizes


class Backbone(nn.Cell):
    """The network under the name that published weights have for it."""

    def __init__(self, net: nn.Cell):
        super().__init__()
        self.net = net

    def construct(self, x):
        return self.net(x)


class ClassificationHead(nn.Cell):
    """Mean over the map, dropout, linear layer. (B, C, H, W) -> (B, num_classes)"""

    def __init__(self, channels: int, num_classes: int, rate: float):
        super().__init__()
        self.dropout = dropout(rate, channels)
        self.fc_cls = nn.Dense(channels, num_classes, weight_init=Normal(0.01), bias_init="zeros")

    def construct(self, x):
        return self.fc_cls(self.dropout(x.mean((2, 3))))            # (B, C, H, W) -> (B, C) -> (B, num_classes)


class SqueezeTime(nn.Cell):
    """A recogniser of clips. (B, in_channels, num_frames, H, W), or the same as images -> logits (B, num_classes)

    dropout: of the features before the classifier. The other arguments are those of `SqueezeTimeNet`. Raises ModelError
    for sizes that do not fit together.
    """

    smallest_batch = 2   # that trains: the weights of channels are one number a clip

    def __init__(
        self, num_classes: int = 400, in_channels: int = 3, num_frames: int = 16, image_size: int = 224,
        depth: int = 50, base_width: int = 64, spatial_strides: tuple[int, ...] = (1, 2, 2, 2),
        position_sizes: tuple[int, ...] | None = None, dropout: float = 0.5,
    ):
        super().__init__()
        check_counts(num_classes=num_classes)
        check_rate(dropout=dropout)
        net = SqueezeTimeNet(in_channels, num_frames, image_size, depth, base_width, spatial_strides, position_sizes)
        self.backbone = Backbone(net)
        self.cls_head = ClassificationHead(net.out_channels[-1], num_classes, dropout)

    def construct(self, x):
        return self.cls_head(self.backbone(x)[-1])


# Parameters are those of 400 classes; MACs those of convolutions and classifier for 16 frames of 224 x 224.
@register_model
def squeezetime_r10(**kwargs) -> SqueezeTime:
    """SqueezeTime of depth 10, basic blocks: 7.312 M parameters, 2.128 GMACs."""
    return SqueezeTime(**{"depth": 10, **kwargs})


@register_model
def squeezetime_r18(**kwargs) -> SqueezeTime:
    """SqueezeTime of depth 18, basic blocks: 16.467 M parameters, 3.478 GMACs."""
    return SqueezeTime(**{"depth": 18, **kwargs})


@register_model
def squeezetime_r34(**kwargs) -> SqueezeTime:
    """SqueezeTime of depth 34, basic blocks: 31.405 M parameters, 6.035 GMACs."""
    return SqueezeTime(**{"depth": 34, **kwargs})


@register_model
def squeezetime_r50(**kwargs) -> SqueezeTime:
    """SqueezeTime of depth 50, the paper's: 29.707 M parameters, 5.483 GMACs."""
    return SqueezeTime(**{"depth": 50, **kwargs})


@register_model
def squeezetime_r101(**kwargs) -> SqueezeTime:
    """SqueezeTime of depth 101, bottlenecks: 53.580 M parameters, 9.703 GMACs."""
    return SqueezeTime(**{"depth": 101, **kwargs})


@register_model
def squeezetime_r152(**kwargs) -> SqueezeTime:
    """SqueezeTime of depth 152, bottlenecks: 73.403 M parameters, 14.010 GMACs."""
    return SqueezeTime(**{"depth": 152, **kwargs})
