"""CGRSeg: semantic segmentation whose context, rectangles and all, comes back into every map of a pyramid.

Context-Guided Spatial Feature Reconstruction for Efficient Semantic Segmentation, Ni et al., ECCV 2024,
https://arxiv.org/abs/2405.06228: the last maps of an EfficientFormerV2 are pooled to a small one, on which blocks of
rectangular self-calibration gather the context of the whole image; it gates each map on the way back up, and a
prototype of the image, made of one for every class, weighs the channels of the result.

Where ours differs: images may be of any size that 32 divides.
"""

import copy
import re
from collections.abc import Mapping, Sequence

import numpy as np
from mindspore import nn, ops
from mindspore.common.initializer import Normal, Zero

from msnoah.errors import ModelError
from msnoah.models.efficientformer import SIZES, EfficientFormerV2Backbone, translate_timm, with_sizes
from msnoah.nn.arguments import check_counts, check_rate
from msnoah.nn.average_pool import average_pool_to
from msnoah.nn.bilinear import resize_bilinear
from msnoah.nn.conv_norm import ConvNorm, conv, conv_with_bias
from msnoah.nn.dropout import Dropout
from msnoah.nn.position_bias import Size
from msnoah.nn.strip_calibration import StripCalibration
from msnoah.registry import register_model

STRIDES = (8, 16, 32)  # of the maps that the head reads
TABLE = "attention_biases_seg"  # what the authors call the biases of attention; images of ImageNet have others


class PyramidPool(nn.Cell):
    """Maps of strides 8, 16 and 32, pooled to half of the last one's size and joined. -> (B, C1 + C2 + C3, h, w)"""

    def __init__(self, map_sizes: Sequence[Size]):
        super().__init__()
        size = tuple(-(-side // 2) for side in map_sizes[-1])
        self.pools = nn.CellList([average_pool_to(map_size, size) for map_size in map_sizes])

    def construct(self, x1, x2, x3):
        return ops.cat((self.pools[0](x1), self.pools[1](x2), self.pools[2](x3)), 1)


class Context(nn.Cell):
    """Rectangular self-calibration again and again. (B, C, H, W) -> (B, C, H, W)"""

    def __init__(self, dim: int, depth: int, kernel_size: int):
        super().__init__()
        self.transformer_blocks = nn.SequentialCell([StripCalibration(dim, kernel_size) for _ in range(depth)])

    def construct(self, x):
        return self.transformer_blocks(x)


class GatedFusion(nn.Cell):
    """A map times a gate from the context. (B, C_in, H, W), (B, C_in, h, w) -> (B, C, H, W)"""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.fuse1 = ConvNorm(in_channels, channels)
        self.fuse2 = ConvNorm(in_channels, channels)

    def construct(self, x, context):
        gate = resize_bilinear(ops.hardsigmoid(self.fuse2(context)), x.shape[2:])   # (B, C_in, h, w) -> (B, C, H, W)
        return self.fuse1(x) * gate


class ClassCentres(nn.Cell):
    """Means of features, weighed by each class's softmax over places. (B, C, H, W), (B, K, H, W) -> (B, C, K, 1)"""

    def construct(self, features, scores):
        batch, channels = features.shape[:2]
        shares = ops.softmax(scores.reshape(batch, scores.shape[1], -1), -1)                # (B, K, N)
        centres = ops.BatchMatMul(transpose_b=True)(features.reshape(batch, channels, -1), shares)
        return centres.expand_dims(-1)                                                      # (B, C, K, 1)


class PrototypeGate(nn.Cell):
    """x + x * gate, a gate a channel from a prototype of the image. (B, C, H, W), (B, C, K, 1) -> (B, C, H, W)

    Dynamic prototype guided head, section 3.3: the prototype is a weighed mean of those of the classes. The last
    convolution begins as 0, so the gate as 1/2.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv_mask = conv(channels, 1, 1, bias=True)
        self.channel_mul_conv = nn.SequentialCell(
            conv_with_bias(channels, channels),
            nn.LayerNorm((channels, 1, 1), begin_norm_axis=1, begin_params_axis=1, epsilon=1e-5),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, has_bias=True, weight_init=Zero(), bias_init=Zero()))

    def construct(self, x, centres):
        batch, channels, classes, _ = centres.shape
        shares = ops.softmax(self.conv_mask(centres).reshape(batch, classes, 1), 1)         # (B, C, K, 1) -> (B, K, 1)
        prototype = ops.BatchMatMul()(centres.reshape(batch, channels, classes), shares)    # (B, C, 1)
        return x * ops.sigmoid(self.channel_mul_conv(prototype.expand_dims(-1))) + x


class ChannelDropout(Dropout):
    """Dropout of whole channels (Tompson et al., CVPR 2015). (B, C, H, W) -> (B, C, H, W)"""

    def construct(self, x):
        return x * self.keep_scale.expand_dims(-1).expand_dims(-1) if self.training else x


class CGRHead(nn.Cell):
    """Maps of strides 8, 16 and 32 -> logits (B, num_classes, H / 8, W / 8)

    in_channels, map_sizes: of the three maps. channels: of the maps on the way back up. kernel_size: of the strips.
    context_depth: blocks on the pooled map. dropout: of channels before each of the two predictions.
    """

    def __init__(
        self, in_channels: Sequence[int], map_sizes: Sequence[Size], num_classes: int, channels: int,
        kernel_size: int, context_depth: int, dropout: float,
    ):
        super().__init__()
        self.in_channels, self.resizes_first = list(in_channels), True
        self.conv_seg = nn.Conv2d(channels, num_classes, 1, has_bias=True, weight_init=Normal(0.01), bias_init="zeros")
        self.linear_fuse = ConvNorm(channels, channels, group=channels)
        self.ppa = PyramidPool(map_sizes)
        self.trans = Context(sum(in_channels), context_depth, kernel_size)
        self.SIM = nn.CellList([GatedFusion(count, channels) for count in in_channels])
        self.meta = nn.CellList([StripCalibration(count, kernel_size) for count in in_channels])
        self.conv = nn.CellList([conv_with_bias(channels, count) for count in in_channels[:2]])
        self.spatial_gather_module = ClassCentres()
        self.lgc = PrototypeGate(channels)
        self.coarse_dropout, self.dropout = (_channel_dropout(dropout, channels) for _ in range(2))

    def construct(self, x1, x2, x3):
        context = self.trans(self.ppa(x1, x2, x3))
        gate1, gate2, gate3 = ops.split(context, self.in_channels, axis=1)
        y = self.SIM[2](self.meta[2](x3), gate3)                                            # (B, C, H / 32, W / 32)
        y = self.SIM[1](self.meta[1](x2 + self.lifted(y, self.conv[1], x2)), gate2)         # (B, C, H / 16, W / 16)
        y = self.SIM[0](self.meta[0](x1 + self.lifted(y, self.conv[0], x1)), gate1)         # (B, C, H / 8, W / 8)
        coarse = self.conv_seg(self.coarse_dropout(ops.relu(self.linear_fuse(y))))
        y = self.lgc(y, self.spatial_gather_module(y, coarse))
        return self.conv_seg(self.dropout(y))

    def lifted(self, y, convolution, x):
        """A smaller map in the channels and at the size of x."""
        size = x.shape[2:]
        return convolution(resize_bilinear(y, size)) if self.resizes_first else resize_bilinear(convolution(y), size)

    def fuse(self) -> nn.Cell:
        """A 1x1 convolution commutes with a resize, whose weights sum to 1, and costs a quarter before it.

        The ReLU after linear_fuse lets only its norm fold: no scale of either sign passes through it to conv_seg.
        """
        fused = copy.deepcopy(self)
        fused.resizes_first = False
        return fused


class CGRSeg(nn.Cell):
    """Images (B, in_channels, H, W) -> logits (B, num_classes, H / 8, W / 8)

    Args:
        num_classes: of the masks, 150 for ADE20K.
        in_channels: of an image.
        image_size: side, or (height, width), that the model is built for; 32 divides it.
        embed_dims, depths, attention_depth, mlp_ratios, drop_path_rate: see `EfficientFormerV2Backbone`.
        channels: of the head's maps.
        kernel_size: of the head's strips, odd.
        context_depth: blocks on the pooled map.
        dropout: share of channels dropped before each of the two predictions in training.
        bias_image_size: of the images whose distances attention's biases are learnt for, the authors' 512 by default.
        bias_resize: how biases become those of image_size: "flat" as the authors, "grid" as positions ask for; see
            `FlatBias` and `GridBias`.

    Weights of ImageNet (strict=False) begin the backbone; the biases of attention, learnt on maps of 7x7, are resized
    by distance and reported as adapted, where the authors' code begins them from 0. Norms train as any BatchNorm; the
    authors' code freezes the backbone's where no checkpoint begins it. Raises ModelError for sizes that do not fit
    together.
    """

    def __init__(
        self, num_classes: int = 150, in_channels: int = 3, image_size: int | Size = 512,
        embed_dims: Sequence[int] = (32, 48, 120, 224), depths: Sequence[int] = (3, 3, 9, 6), attention_depth: int = 2,
        mlp_ratios: Sequence[float | Sequence[float]] = (4, 4, 4, 4), drop_path_rate: float = 0.0, channels: int = 128,
        kernel_size: int = 11, context_depth: int = 5, dropout: float = 0.1, bias_image_size: int | Size = 512,
        bias_resize: str = "flat",
    ):
        super().__init__()
        check_counts(num_classes=num_classes, channels=channels, kernel_size=kernel_size, context_depth=context_depth)
        check_rate(dropout=dropout)
        if kernel_size % 2 == 0:
            raise ModelError(f"kernel_size={kernel_size}: expected an odd number, so that strips have a middle")
        self.backbone = EfficientFormerV2Backbone(
            in_channels, image_size, embed_dims, depths, attention_depth, mlp_ratios, drop_path_rate, bias_image_size,
            bias_resize, TABLE)
        map_sizes = [tuple(side // stride for side in self.backbone.image_size) for stride in STRIDES]
        self.decode_head = CGRHead(
            self.backbone.out_channels[1:], map_sizes, num_classes, channels, kernel_size, context_depth, dropout)

    def construct(self, x):
        _, x1, x2, x3 = self.backbone(x)
        return self.decode_head(x1, x2, x3)

    def translate_weights(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Published checkpoints under our names, for `load_checkpoint`: of CGRSeg, or of a backbone, timm's too.

        CGRSeg's hold a second set of tables of biases, which nothing reads; a backbone's are those that it learnt.
        """
        arrays = translate_timm(arrays)
        if any(name.endswith(TABLE) for name in arrays):
            return {name: array for name, array in arrays.items() if not name.endswith(".attention_biases")}
        return {re.sub(r"\.attention_biases$", f".{TABLE}", name): array for name, array in arrays.items()}


def _channel_dropout(rate: float, channels: int) -> nn.Cell:
    return ChannelDropout(float(rate), channels) if rate > 0 else nn.Identity()


@register_model
def cgrseg_t(**kwargs) -> CGRSeg:
    """CGRSeg-T: 9.365 M parameters, 4.53 GMACs at 512x512; 43.6 mIoU on ADE20K as published."""
    return CGRSeg(**with_sizes({**SIZES["s1"], "channels": 128, "kernel_size": 11, "context_depth": 5}, kwargs))


@register_model
def cgrseg_b(**kwargs) -> CGRSeg:
    """CGRSeg-B: 19.115 M parameters, 8.59 GMACs at 512x512; 45.5 mIoU on ADE20K as published."""
    return CGRSeg(**with_sizes({**SIZES["s2"], "channels": 256, "kernel_size": 11, "context_depth": 6}, kwargs))


@register_model
def cgrseg_l(**kwargs) -> CGRSeg:
    """CGRSeg-L: 35.678 M parameters, 16.12 GMACs at 512x512; 48.3 mIoU on ADE20K as published."""
    return CGRSeg(**with_sizes({**SIZES["l"], "channels": 256, "kernel_size": 9, "context_depth": 5}, kwargs))
