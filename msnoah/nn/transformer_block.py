"""The pre-norm transformer block."""

import copy

from mindspore import nn

from msnoah.nn.drop_path import drop_path
from msnoah.nn.folding import dense_after, is_affine
from msnoah.nn.mlp import MLP
from msnoah.nn.rep_norm import token_norm


class TransformerBlock(nn.Cell):
    """x + attention(norm(x)), then x + MLP(norm(x)), each branch with stochastic depth. (B, N, C) -> (B, N, C)"""

    def __init__(self, dim: int, attention: nn.Cell, mlp_ratio: float, norm: str, norm_eps: float, drop_rate: float):
        super().__init__()
        self.norm1 = token_norm(norm, dim, norm_eps)
        self.attn = attention
        self.drop_path1 = drop_path(drop_rate)
        self.norm2 = token_norm(norm, dim, norm_eps)
        self.mlp = MLP(dim, int(dim * mlp_ratio))
        self.drop_path2 = drop_path(drop_rate)

    def construct(self, x):
        x = x + self.drop_path1(self.attn(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))

    def fuse(self) -> nn.Cell:
        """norm1 folds into the first layers of the attention, norm2 into fc1: each is the only reader of its norm."""
        if not is_affine(self.norm1):
            return self
        fused = copy.deepcopy(self)
        fused.norm1, fused.attn = nn.Identity(), self.attn.absorb(self.norm1)
        fused.norm2, fused.mlp.fc1 = nn.Identity(), dense_after(self.norm2, self.mlp.fc1)
        return fused
