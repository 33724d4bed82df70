"""Losses of detection in space and in time: what boxes show, what points of time show, and how far to both ends."""

import mindspore as ms
from mindspore import Tensor, ops


def multi_label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of boxes that show many actions or one, as heads for AVA are trained; a scalar.

    Class 0 stands for nothing and is left out, and so are boxes without any label: they are no persons, of which an AVA
    head learns nothing. The mean is over the classes from 1 on of the boxes that are left, 0 if none is.

    Args:
        logits: (R, K), any float type.
        labels: (R, K) float32 of 0 and 1.
    """
    logits, labels = logits[:, 1:].astype(ms.float32), labels[:, 1:]
    counts = (labels.sum(1) > 0).astype(ms.float32)                         # (R,)
    losses = binary_cross_entropy(logits, labels).mean(1)                   # (R, K) -> (R,)
    return (losses * counts).sum() / _at_least_one(counts.sum())


def localisation_loss(logits: Tensor, distances: Tensor, classes: Tensor, true_distances: Tensor) -> Tensor:
    """Focal loss of all points and distance loss of those inside a segment, both over how many these are; a scalar.

    Args:
        logits, distances: of `LocalisationHead`, (B, P, K) and (B, P, 2).
        classes, true_distances: of `assign_targets`, a video a row, (B, P, K) and (B, P, 2).
    """
    inside = (classes.sum(-1) > 0).astype(ms.float32)                       # (B, P)
    focal = focal_loss(logits.astype(ms.float32), classes).sum()
    apart = (distance_loss(distances.astype(ms.float32), true_distances) * inside).sum()
    return (focal + apart) / _at_least_one(inside.sum())


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Cross entropy of each class that fades where the answer is right already. (..., K), (..., K) -> (..., K)

    Lin et al., ICCV 2017, https://arxiv.org/abs/1708.02002, equation 5: -alpha_t (1 - p_t)^gamma log p_t.
    """
    p = ops.sigmoid(logits)
    missed = p + targets - 2 * p * targets                                  # 1 - p_t
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * ops.pow(missed, gamma) * binary_cross_entropy(logits, targets)


def distance_loss(found: Tensor, true: Tensor) -> Tensor:
    """1 - IoU + (shift of the middle / hull)^2 of segments around one point. (..., 2), (..., 2) -> (...)

    Distance-IoU, Zheng et al., AAAI 2020, https://arxiv.org/abs/1911.08287, in one dimension. A segment is its
    distances to start and end from the same point, so both hold that point and the hull is the union.
    """
    common = ops.minimum(found, true).sum(-1)
    hull = ops.maximum(found, true).sum(-1) + 1e-8
    shift = ((found[..., 1] - found[..., 0]) - (true[..., 1] - true[..., 0])) / 2
    return 1 - common / hull + (shift / hull) ** 2


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) with p = sigmoid(logits), finite for any logit. (...), (...) -> (...)"""
    return ops.relu(logits) - logits * targets + ops.log(1 + ops.exp(-ops.abs(logits)))


def _at_least_one(count: Tensor) -> Tensor:
    return ops.maximum(count, Tensor(1.0, ms.float32))
