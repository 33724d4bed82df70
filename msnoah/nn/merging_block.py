"""The pre-norm transformer block whose tokens are merged between attention and MLP."""

from mindspore import nn

from msnoah.nn.token_merging import TokenMerging
from msnoah.nn.transformer_block import TransformerBlock


class MergingBlock(TransformerBlock):
    """x + attention(norm(x)), merging, then x + MLP(norm(x)).

    x (B, N, C), size (B, N, 1) or None -> (B, N - r, C), (B, N - r, 1) or None
    """

    def __init__(self, dim: int, attention: nn.Cell, mlp_ratio: float, norm: str, norm_eps: float, drop_rate: float,
                 merge: TokenMerging):
        super().__init__(dim, attention, mlp_ratio, norm, norm_eps, drop_rate)
        self.merge = merge

    def construct(self, x, size):
        attended, metric = self.attn(self.norm1(x), size)
        x, size = self.merge(x + self.drop_path1(attended), size, metric)   # (B, N, C) -> (B, N - r, C)
        return x + self.drop_path2(self.mlp(self.norm2(x))), size
