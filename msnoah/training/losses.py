"""Loss functions: of soft targets, which have mixup and label smoothing in them already, of every pixel's label, and of
another model's logits."""

from collections.abc import Callable

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


def soft_distillation(temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of a student's logits and its teacher's, both (B, K) of any float type, in float32:

    temperature^2 / (B K) * sum of p_T (log p_T - log p_S), where p = softmax(logits / temperature) (Hinton 2015). The
    divergence is divided by B K, as DeiT's and ToCom's recipes have it, not by B.
    """
    def loss(logits, teacher_logits):
        student = ops.log_softmax(logits.astype(ms.float32) / temperature, -1)
        teacher = ops.log_softmax(teacher_logits.astype(ms.float32) / temperature, -1)
        return (ops.exp(teacher) * (teacher - student)).mean() * temperature**2   # (B, K) -> ()

    return loss
