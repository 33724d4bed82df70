"""Token merging by sorting and gathering: the same decisions as `token_merging`, with fewer multiplications."""

import copy

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from msnoah.nn.fusing import replace_cells
from msnoah.nn.token_merging import CANDIDATES, TARGETS, TokenMerging, match_tokens, merged_count


class GatheringTokenMerging(TokenMerging):
    """TokenMerging for runtimes that sort and gather; for inference. Shapes as there.

    Tokens that stay are copied. Of target t with size s_t and tokens i merged into it, with S = s_t + sum s_i:
    x_t' = (s_t / S) x_t + sum (s_i / S) x_i, so that only the merged tokens go through a product, of (T, r) and (r, C).
    """

    def construct(self, x, size, metric):
        count = merged_count(self.count, x.shape[1], self.protected)
        if count == 0:
            return x, size
        if size is None:
            size = ops.ones((x.shape[0], x.shape[1], 1), x.dtype)
        kept, merged, target = self.places(metric, count)
        first = TARGETS[self.protected]
        own_size = size[:, first::2]                                                            # (B, T, 1)
        joins = self._joins(target, own_size.shape[1]).astype(x.dtype)                          # (B, T, r)
        weights = joins * ops.gather(size, merged, 1, 1).transpose(0, 2, 1)                     # (B, T, r)
        target_size = own_size + weights.sum(-1, keepdims=True)
        joined = ops.BatchMatMul()(weights / target_size, ops.gather(x, merged, 1, 1))          # (B, T, C)
        targets = x[:, first::2] * (own_size / target_size) + joined
        return self._in_sequence(x, kept, targets), self._in_sequence(size, kept, target_size)

    def places(self, metric, count: int):
        """Candidates that stay (B, A - count), in order; candidates that are merged (B, count), the most similar pair
        first; and the places among the targets that those go to (B, count)."""
        target, similarity = match_tokens(metric, self.protected)
        candidates = target.shape[1]
        order = ops.topk(similarity, candidates)[1].astype(mstype.int64)                        # (B, A)
        kept, merged = ops.sort(order[:, count:])[0], order[:, :count]
        start = CANDIDATES[self.protected]
        target = ops.gather_elements(target.astype(mstype.int64), 1, merged)
        return kept * 2 + start, merged * 2 + start, target

    def _joins(self, target, count: int):
        rows = Tensor(np.arange(count)[:, None], mstype.int64)
        return ops.expand_dims(target, 1) == rows                                               # (B, r) -> (B, T, r)

    def _in_sequence(self, x, kept, targets):
        """(B, N, C), (B, A - r), (B, T, C) -> (B, N - r, C)"""
        parts = (ops.gather(x, kept, 1, 1), targets)
        return ops.concat((x[:, :self.protected], *parts) if self.protected else parts, 1)


def with_gathering(model: nn.Cell) -> nn.Cell:
    """A copy of a model whose token merging sorts and gathers."""
    return replace_cells(
        copy.deepcopy(model), TokenMerging, lambda cell: GatheringTokenMerging(cell.count, cell.protected))
