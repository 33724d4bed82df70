"""Loss functions: of soft targets, which have mixup and label smoothing in them already, and of every pixel's label."""

import mindspore as ms
from mindspore import Tensor, ops

from msnoah.metrics.segmentation import IGNORE


def soft_target_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of -sum_k targets_k * log softmax(logits)_k, in float32.

    Args:
        logits: (B, K), any float type.
        targets: (B, K) float32, each row sums to 1.
    """
    log_probabilities = ops.log_softmax(logits.astype(ms.float32), -1)
    return -(targets * log_probabilities).sum(-1).mean()   # (B, K) -> ()


def pixel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over all pixels of -log softmax(logits)[label], 0 where the label is 255, in float32.

    The mean is over pixels that do not count too, as mmsegmentation's is by default.

    Args:
        logits: (B, K, h, w), any float type; they are resized to the labels, bilinear with half-pixel centres.
        labels: (B, H, W) int32.
    """
    size = tuple(labels.shape[-2:])
    resized = ops.interpolate(logits.astype(ms.float32), size=size, mode="bilinear", align_corners=False)
    log_probabilities = ops.log_softmax(resized, 1)
    counted = labels != IGNORE
    chosen = ops.gather_elements(log_probabilities, 1, ops.where(counted, labels, 0).expand_dims(1))   # (B, 1, H, W)
    return -(chosen.squeeze(1) * counted.astype(ms.float32)).mean()
