"""Token merging as ToMe's authors write it, a reference: TopK, GatherElements, ScatterElements and -inf."""

import copy

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from msnoah.nn.fusing import replace_cells
from msnoah.nn.token_merging import TokenMerging, merged_count


class PlainTokenMerging(TokenMerging):
    """Merging as ToMe's authors write it, with static counts; for a class token."""

    def construct(self, x, size, metric):
        count = merged_count(self.count, x.shape[1], self.protected)
        if count == 0:
            return x, size
        if size is None:
            size = ops.ones((x.shape[0], x.shape[1], 1), x.dtype)
        places = self.places(metric, count)
        merged_size = self.merge(size, *places)
        return self.merge(x * size, *places) / merged_size, merged_size

    def places(self, metric, count):
        metric = metric / ops.sqrt((metric * metric).sum(-1, keepdims=True))
        scores = ops.BatchMatMul(transpose_b=True)(metric[:, ::2], metric[:, 1::2])
        barred = np.where(np.arange(scores.shape[1]) == 0, -np.inf, 0)[:, None]
        similarity, target = ops.max(scores + Tensor(barred, mstype.float32), -1)
        order = ops.topk(similarity, similarity.shape[1])[1].astype(mstype.int64)
        merged, kept = order[:, :count], ops.sort(order[:, count:].astype(mstype.float32))[0].astype(mstype.int64)
        return kept, merged, ops.gather_elements(target.astype(mstype.int64), 1, merged)

    def merge(self, x, kept, merged, target):
        kept, merged, target = (ops.tile(ops.expand_dims(i, -1), (1, 1, x.shape[2])) for i in (kept, merged, target))
        candidates, targets = x[:, ::2], x[:, 1::2]
        joining = ops.gather_elements(candidates, 1, merged)
        targets = ops.tensor_scatter_elements(targets, target, joining, 1, "add")
        return ops.concat((ops.gather_elements(candidates, 1, kept), targets), 1)


def with_scattering(model: nn.Cell) -> nn.Cell:
    """A copy of a model, with this form in place of the matrix form."""
    return replace_cells(
        copy.deepcopy(model), TokenMerging, lambda cell: PlainTokenMerging(cell.count, cell.protected))
