"""SqueezeTime for action detection: what each person does in the key frame of a clip, as for AVA.

No Time to Waste: Squeeze Time into Channel for Mobile Video Understanding, Zhai et al., 2024,
https://arxiv.org/abs/2405.08344; AVA, Gu et al., CVPR 2018, https://arxiv.org/abs/1705.08421. The last stage keeps the
size of its map, its channels are told apart into features and frames, and boxes that a person detector found are
pooled from the mean over the frames (Fast R-CNN without proposals of its own).

Where ours differs from the published head: dropout is drawn for pooled features, not for every place of a box.
"""

import math

from mindspore import nn
from mindspore.common.initializer import Normal

from msnoah.models.squeezetime import Backbone, SqueezeTimeNet
from msnoah.nn.arguments import check_counts, check_divisible, check_rate
from msnoah.nn.dropout import dropout
from msnoah.nn.roi_align import RoIAlign
from msnoah.registry import register_model

STEM_STRIDE = 4

class FrameMean(nn.Cell):
    """Channel c * T + t is feature c of frame t; the mean over the frames. (B, C * T, H, W) -> (B, C, H, W)"""

    def __init__(self, num_frames: int):
        super().__init__()
        self.num_frames = num_frames

    def construct(self, x):
        _, channels, height, width = x.shape
        x = x.reshape(-1, channels // self.num_frames, self.num_frames, height * width)
        return x.mean(2).reshape(-1, channels // self.num_frames, height, width)


class BoxHead(nn.Cell):
    """The largest value of each feature in a box, dropout, linear layer. (R, C, h, w) -> (R, num_classes)"""

    def __init__(self, channels: int, num_classes: int, rate: float):
        super().__init__()
        self.dropout = dropout(rate, channels)
        self.fc_cls = nn.Dense(channels, num_classes, weight_init=Normal(0.01), bias_init="zeros")

    def construct(self, x):
        return self.fc_cls(self.dropout(x.amax((2, 3))))            # (R, C, h, w) -> (R, C) -> (R, num_classes)


class RoIHead(nn.Cell):
    """Features of boxes from maps of frames, and what is seen in them. (B, C * T, H, W), (R, 5) -> (R, num_classes)"""

    def __init__(self, align: RoIAlign, num_frames: int, bbox_head: BoxHead):
        super().__init__()
        self.frame_mean, self.align, self.bbox_head = FrameMean(num_frames), align, bbox_head

    def construct(self, x, boxes):
        return self.bbox_head(self.align(self.frame_mean(x), boxes))


class SqueezeTimeDetector(nn.Cell):
    """Clips (B, in_channels, num_frames, H, W), or the same as images, and boxes (R, 5) -> logits (R, num_classes)

    A box is its clip's index in the batch, then x1, y1, x2, y2 in pixels of the clip. Each class has a sigmoid of its
    own; AVA's classes count from 1, and class 0 stands for nothing and is not trained (see `multi_label_loss`).

    Args:
        num_classes: of the linear layer, AVA's unused class 0 included.
        box_bins: height and width to which boxes are pooled.
        samples: points a bin and axis, see `RoIAlign`; 0 takes as many as the box needs.
        dropout: of the pooled features. A trainer draws it for R boxes, not B clips.

    The other arguments are those of `SqueezeTimeNet`. Raises ModelError for sizes that do not fit together.
    """

    def __init__(
        self, num_classes: int = 81, in_channels: int = 3, num_frames: int = 16, image_size: int = 256, depth: int = 50,
        base_width: int = 64, spatial_strides: tuple[int, ...] = (1, 2, 2, 1),
        position_sizes: tuple[int, ...] | None = None, box_bins: int = 8, samples: int = 0, dropout: float = 0.5,
    ):
        super().__init__()
        check_counts(num_classes=num_classes)
        check_rate(dropout=dropout)
        net = SqueezeTimeNet(in_channels, num_frames, image_size, depth, base_width, spatial_strides, position_sizes)
        check_divisible({"channels of the last stage": net.out_channels[-1]}, {"num_frames": num_frames})
        self.backbone = Backbone(net)
        align = RoIAlign(box_bins, 1 / (STEM_STRIDE * math.prod(spatial_strides)), samples)
        self.roi_head = RoIHead(align, num_frames, BoxHead(net.out_channels[-1] // num_frames, num_classes, dropout))

        self.clip_shape = [in_channels, num_frames, image_size, image_size]

    def construct(self, x, boxes):
        return self.roi_head(self.backbone(x)[-1], boxes)

    def input_shapes(self) -> list[list[int]]:
        """Shapes of the inputs for one clip with one box."""
        return [[1, *self.clip_shape], [1, 5]]


@register_model
def squeezetime_r50_ava(**kwargs) -> SqueezeTimeDetector:
    """SqueezeTime of depth 50 for AVA's 80 classes at 256x256, position maps as published: 28.890 M parameters."""
    return SqueezeTimeDetector(**{"depth": 50, "position_sizes": (56, 28, 14, 7), **kwargs})
