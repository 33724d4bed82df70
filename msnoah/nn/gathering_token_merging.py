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
        kept, merged, target = self.places(metric, count)
        if size is None:
            size = ops.ones((x.shape[0], x.shape[1], 1), x.dtype)
        first = TARGETS[self.protected]
        joins = self._joins(target, len(range(first, x.shape[1], 2))).astype(x.dtype)          # (B, T, r)
        merged_size = ops.gather(size, merged, 1, 1)                                            # (B, r, 1)
        own_size = size[:, first::2]                                                            # (B, T, 1)
        target_size = own_size + ops.BatchMatMul()(joins, merged_size)
        joined = ops.BatchMatMul()(joins, ops.gather(x, merged, 1, 1) * merged_size)            # (B, T, C)
        targets = (x[:, first::2] * own_size + joined) / target_size
        sizes = [ops.gather(size, kept, 1, 1), target_size]
        return ops.concat((ops.gather(x, kept, 1, 1), targets), 1), ops.concat(sizes, 1)

    def places(self, metric, count: int):
        """Tokens that stay, protected ones first (B, N - T - count), tokens that are merged, and the places among the
        targets that those go to (B, count); the most similar pair first."""
        target, similarity = match_tokens(metric, self.protected)
        batch, candidates = target.shape
        order = ops.topk(similarity, candidates)[1].astype(mstype.int32)                        # (B, A)
        merged = order[:, :count]
        kept = ops.sort(order[:, count:].astype(mstype.float32))[0].astype(mstype.int32)
        start = CANDIDATES[self.protected]
        kept = kept * 2 + start
        if self.protected:                                                                      # tile refuses (B, 0)
            kept = ops.concat((ops.tile(Tensor(np.arange(self.protected)[None], mstype.int32), (batch, 1)), kept), 1)
        return kept, merged * 2 + start, ops.gather_elements(target.astype(mstype.int32), 1, merged)

    def _joins(self, target, count: int):
        rows = Tensor(np.arange(count)[:, None], mstype.int32)
        return ops.expand_dims(target, 1) == rows                                               # (B, r) -> (B, T, r)


def with_gathering(model: nn.Cell) -> nn.Cell:
    """A copy of a model whose token merging sorts and gathers."""
    return replace_cells(
        copy.deepcopy(model), TokenMerging, lambda cell: GatheringTokenMerging(cell.count, cell.protected))
