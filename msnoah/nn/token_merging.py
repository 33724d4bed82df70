"""Token merging: the most similar tokens of a sequence become one, by matrices alone, so that every shape is known.

Token Merging: Your ViT But Faster, Bolya et al., ICLR 2023, https://arxiv.org/abs/2210.09461 (ToMe). Tokens are split
into candidates (even places) and targets (odd places). Each candidate has a most similar target; the r candidates with
the highest similarities are merged into theirs. What is left is [protected, candidates that stay, targets], each in
order. The class token, and a distillation token after it, are protected: neither merged nor merged into.

Where ours differs: no sorting, no scattering, no infinities. A candidate's rank is the number of those before it, and
the new place of every token gives a matrix of zeros and ones that merges by a product; all devices and runtimes have
what this takes. `gathering_token_merging` has a form with fewer multiplications for runtimes that sort and gather.
"""

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

CANDIDATES, TARGETS = (0, 2, 2), (1, 1, 3)
"""Where candidates and targets begin, by the number of protected tokens; both take every second place from there."""


def merged_count(count: int, tokens: int, protected: int) -> int:
    """How many of `tokens` tokens a layer merges that shall merge `count`: at most half of those not protected."""
    return max(0, min(count, (tokens - protected) // 2))


def match_tokens(metric, protected: int) -> tuple[Tensor, Tensor]:
    """The place among the targets most similar to each candidate, the first of equal ones, and its cosine.

    metric (B, N, d) -> 2 of (B, A). Compared by direction; the length does not count.
    """
    metric = ops.stop_gradient(metric).astype(mstype.float32)
    metric = metric / ops.sqrt((metric * metric).sum(-1, keepdims=True))
    candidates, targets = metric[:, CANDIDATES[protected]::2], metric[:, TARGETS[protected]::2]
    scores = ops.BatchMatMul(transpose_b=True)(candidates, targets)         # (B, A, d), (B, T, d) -> (B, A, T)
    similarity, target = ops.max(scores, -1)
    return target, similarity


def rank_descending(values):
    """How many come before each value if sorted from the largest on, of equal ones the first first. (B, A) -> (B, A)"""
    mine, others = ops.expand_dims(values, 2), ops.expand_dims(values, 1)
    count = values.shape[1]
    earlier = Tensor(np.tri(count, k=-1), mstype.float32)                   # (A, A): 1 where the other one is earlier
    before = (others > mine).astype(mstype.float32) + (others == mine).astype(mstype.float32) * earlier
    return before.sum(2)


class TokenMerging(nn.Cell):
    """Merges `count` tokens. x (B, N, C), size (B, N, 1) or None, metric (B, N, d) -> (B, N - r, C), (B, N - r, 1)

    r is `merged_count`; where it is 0, x and size pass as they are. A merged token is the mean of its tokens weighted
    by their sizes, the numbers of patches that went into them. `protected`: 0, 1 (class token first) or 2 (and a
    distillation token).
    """

    def __init__(self, count: int, protected: int = 1):
        super().__init__()
        self.count = count
        self.protected = protected

    def construct(self, x, size, metric):
        count = merged_count(self.count, x.shape[1], self.protected)
        if count == 0:
            return x, size
        merge = self.matrix(metric, count).astype(x.dtype)                  # (B, N - r, N)
        if size is None:
            merged_size = merge.sum(-1, keepdims=True)
        else:
            merged_size, x = ops.BatchMatMul()(merge, size), x * size
        return ops.BatchMatMul()(merge, x) / merged_size, merged_size

    def matrix(self, metric, count: int):
        """Which tokens go into which: 1 where token n becomes part of token m. metric (B, N, d) -> (B, N - count, N)"""
        target, similarity = match_tokens(metric, self.protected)
        batch, candidates = target.shape
        tokens, kept = metric.shape[1], candidates - count
        is_merged = (rank_descending(similarity) < count).astype(mstype.float32)            # (B, A)
        up_to = Tensor(np.tri(candidates).T, mstype.float32)
        stays = Tensor(np.arange(candidates) + self.protected, mstype.float32) - ops.matmul(is_merged, up_to)
        joins = target.astype(mstype.float32) + float(self.protected + kept)
        places = is_merged * joins + (1.0 - is_merged) * stays                              # (B, A)
        fixed = np.concatenate([np.arange(self.protected), np.arange(self.protected + kept, tokens - count)])
        fixed = ops.tile(Tensor(fixed[None], mstype.float32), (batch, 1))
        order = Tensor(_sequence_order(tokens, self.protected), mstype.int32)
        places = ops.gather(ops.concat((fixed, places), 1), order, 1)                       # (B, N), by token
        rows = Tensor(np.arange(tokens - count)[:, None], mstype.float32)
        return (ops.expand_dims(places, 1) == rows).astype(mstype.float32)


def _sequence_order(tokens: int, protected: int) -> np.ndarray:
    """Where the tokens of a sequence stand in [protected, targets, candidates]."""
    places = np.arange(tokens)
    grouped = [places[:protected], places[TARGETS[protected]::2], places[CANDIDATES[protected]::2]]
    return np.argsort(np.concatenate(grouped))
