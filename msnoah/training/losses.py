"""Loss functions over soft targets: mixup and label smoothing are in the targets already."""

import mindspore as ms
from mindspore import Tensor, ops


def soft_target_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of -sum_k targets_k * log softmax(logits)_k, in float32.

    Args:
        logits: (B, K), any float type.
        targets: (B, K) float32, each row sums to 1.
    """
    log_probabilities = ops.log_softmax(logits.astype(ms.float32), -1)
    return -(targets * log_probabilities).sum(-1).mean()   # (B, K) -> ()
