"""The global norm of gradients, and clipping by it."""

from mindspore import Tensor, ops


def global_norm(gradients: tuple[Tensor, ...]) -> Tensor:
    """Euclidean norm of all gradients taken as one vector; a scalar."""
    halves = [ops.L2Loss()(gradient) for gradient in gradients]   # sum of squares / 2, one kernel each
    return ops.sqrt(2 * ops.addn(halves))


def clip_factor(norm: float, limit: float | None) -> float:
    """What gradients of this norm are multiplied by, so that it is at most `limit`: as torch, limit / (norm + 1e-6)."""
    return 1.0 if limit is None else min(1.0, limit / (norm + 1e-6))
