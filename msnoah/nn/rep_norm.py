"""Re-parameterised and progressive batch normalisation of tokens (RepBN and PRepBN).

SLAB, Guo et al., ICML 2024, https://arxiv.org/abs/2405.11582, section 3.2. LayerNorm needs statistics at inference;
BatchNorm does not and folds into its neighbours, but trains badly in transformers. RepBN adds a scaled shortcut, and
training moves from LayerNorm to it step by step.
"""

import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore import dtype as mstype

from msnoah.nn.arguments import check_choice
from msnoah.nn.folding import affine

BATCH_NORM_EPS = 1e-5


class RepBatchNorm(nn.Cell):
    """y = BN(x) + alpha * x over the last axis; statistics over all others. (..., C) -> (..., C)

    alpha is one learnable number, 1 at first. In evaluation this is an affine map per channel, see `affine`.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.alpha = Parameter(Tensor(np.ones(1, np.float32)))
        self.bn = nn.BatchNorm1d(channels, eps=BATCH_NORM_EPS, momentum=0.9)

    def construct(self, x):
        flat = x.reshape(-1, self.channels)                 # (..., C) -> (M, C)
        y = self.bn(flat) + self.alpha * flat
        return y.reshape(x.shape)                           # (M, C) -> (..., C)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift per channel, float64 (C,), of the map y = scale * x + shift that evaluation computes.

        BN(x) = gamma / sqrt(var + eps) * (x - mean) + beta, so scale = gamma / sqrt(var + eps) + alpha and
        shift = beta - gamma / sqrt(var + eps) * mean.
        """
        scale, shift = affine(self.bn)
        return scale + self.alpha.asnumpy().astype(np.float64), shift


class ProgressiveRepBatchNorm(nn.Cell):
    """In training share * LayerNorm(x) + (1 - share) * RepBN(x); in evaluation RepBN(x) alone. (..., C) -> (..., C)

    The schedule belongs to the trainer: it writes `layer_norm_share` before a step (see `step_inputs`). `warm` is pure
    LayerNorm whose steps leave the batch statistics alone; it is a Python value, so a change of it compiles anew.
    """

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__()
        self.warm = False
        self.layer_norm_share = Parameter(Tensor(1.0, mstype.float32), requires_grad=False)
        self.norm1 = nn.LayerNorm((channels,), epsilon=eps)
        self.norm2 = RepBatchNorm(channels)

    def construct(self, x):
        if not self.training:
            return self.norm2(x)
        if self.warm:
            return self.norm1(x)
        share = self.layer_norm_share
        return share * self.norm1(x) + (1.0 - share) * self.norm2(x)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift of `norm2`, which is all that evaluation computes."""
        return self.norm2.affine()


def _rep_batch_norm(channels: int, eps: float) -> nn.Cell:
    return RepBatchNorm(channels)


def _layer_norm(channels: int, eps: float) -> nn.Cell:
    return nn.LayerNorm((channels,), epsilon=eps)


NORMS = {"rep_bn": _rep_batch_norm, "prep_bn": ProgressiveRepBatchNorm, "layer_norm": _layer_norm}


def token_norm(kind: str, channels: int, eps: float) -> nn.Cell:
    """A norm over the last axis of tokens by its name in NORMS; `eps` is LayerNorm's. ModelError for another name."""
    check_choice("norm", kind, NORMS)
    return NORMS[kind](channels, eps)
