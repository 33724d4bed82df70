"""Token merging: the most similar tokens of a sequence become one, by matrices alone, so that every shape is known.

Token Merging: Your ViT But Faster, Bolya et al., ICLR 2023, https://arxiv.org/abs/2210.09461 (ToMe). Tokens are split
into candidates (even places) and targets (odd places). Each candidate has a most similar target; the r candidates with
the highest similarities are merged into theirs. What is left is [protected, candidates that stay, targets], each in
order. The class token, and a distillation token after it, are protected: neither merged nor merged into.

Where ours differs: no sorting, gathering or scattering, no comparisons, no infinities. A candidate's rank is the number
of those before it, and ranks give matrices of zeros and ones that merge by products. Arithmetic, signs and maxima are
all that it takes: ncnn, which has no indices and no booleans, runs it, and so does a device that has products and ReLU.
`gathering_token_merging` has a form with fewer multiplications for runtimes that sort and gather.
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
    metric = directions(metric)
    candidates, targets = metric[:, CANDIDATES[protected]::2], metric[:, TARGETS[protected]::2]
    similarity, target = ops.max(ops.BatchMatMul(transpose_b=True)(candidates, targets), -1)
    return target, similarity


def directions(metric) -> Tensor:
    """Rows of length one, in float32, constants to the derivative. (B, N, d) -> (B, N, d)"""
    metric = ops.stop_gradient(metric).astype(mstype.float32)
    return metric / ops.sqrt((metric * metric).sum(-1, keepdims=True))


def split_tokens(x, protected: int) -> tuple[Tensor, Tensor]:
    """Candidates and targets, which take turns behind the protected tokens. (B, N, C) -> (B, A, C), (B, T, C)

    Neighbours are put side by side and then parted, since ncnn has no slices with steps.
    """
    batch, tokens, width = x.shape
    pairs = (tokens - protected) // 2
    end = protected + 2 * pairs
    side_by_side = x[:, protected:end].reshape(batch, pairs, 2 * width)
    first, second = side_by_side[:, :, :width], side_by_side[:, :, width:]
    if end < tokens:
        first = ops.concat((first, x[:, end:]), 1)
    return (first, second) if CANDIDATES[protected] == protected else (second, first)


def rank_descending(values):
    """How many come before each value if sorted from the largest on, of equal ones the first first. (B, A) -> (B, A)"""
    mine, others = ops.expand_dims(values, 2), ops.expand_dims(values, 1)
    if_equal = Tensor(2 * np.tri(values.shape[1], k=-1) - 1, mstype.float32)    # (A, A): 1 where the other is earlier
    return ops.relu(ops.sign(2 * ops.sign(others - mine) + if_equal)).sum(2)


def is_equal(numbers, others):
    """1 where two whole numbers are equal, else 0."""
    return ops.relu(1.0 - ops.abs(numbers - others))


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
        stay, join = self.decide(metric, count)
        if size is None:
            merged_size = 1.0 + join.sum(2, keepdims=True).astype(x.dtype)                  # (B, T, 1)
            alone = x.shape[1] - count - merged_size.shape[1]
            if alone:
                merged_size = ops.concat((ops.ones((x.shape[0], alone, 1), x.dtype), merged_size), 1)
        else:
            merged_size, x = self.add_up(size, stay, join), x * size
        return self.add_up(x, stay, join) / merged_size, merged_size

    def decide(self, metric, count: int) -> tuple[Tensor | None, Tensor]:
        """Matrices of zeros and ones: which candidate stays as which (B, A - count, A), None if none stays, and which
        joins which target (B, T, A). metric (B, N, d)"""
        candidates, targets = split_tokens(directions(metric), self.protected)
        scores = ops.BatchMatMul(transpose_b=True)(candidates, targets)                     # (B, A, T)
        batch, candidates, targets = scores.shape
        similarity = ops.ReduceMax(keep_dims=True)(scores, 2)                               # (B, A, 1)
        from_last = Tensor(np.arange(targets, 0, -1), mstype.float32)                       # T ... 1
        is_best = 1.0 + ops.sign(scores - similarity)
        first_best = ops.ReduceMax(keep_dims=True)(is_best * from_last, 2)                  # (B, A, 1)
        rank = rank_descending(similarity.reshape(batch, candidates))
        is_merged = ops.relu(ops.sign(count - 0.5 - rank))                                  # (B, A)
        join = is_equal(first_best, from_last) * ops.expand_dims(is_merged, 2)              # (B, A, T)
        kept = candidates - count
        stay = self._places(is_merged, kept) if kept else None
        return stay, join.swapaxes(1, 2)

    def _places(self, is_merged, kept: int):
        """Candidates that stay move up; those that are merged get negative places. (B, A) -> (B, kept, A)"""
        candidates = is_merged.shape[1]
        up_to = Tensor(np.tri(candidates).T, mstype.float32)
        place = Tensor(np.arange(candidates), mstype.float32) - ops.matmul(is_merged, up_to) - candidates * is_merged
        return is_equal(ops.expand_dims(place, 1), Tensor(np.arange(kept)[:, None], mstype.float32))

    def add_up(self, x, stay, join):
        """[protected, candidates that stay, targets with what joins them]. x (B, N, C) -> (B, N - count, C)"""
        candidates, targets = split_tokens(x, self.protected)
        parts = (targets + ops.BatchMatMul()(join.astype(x.dtype), candidates),)
        if stay is not None:
            parts = (ops.BatchMatMul()(stay.astype(x.dtype), candidates), *parts)
        if self.protected:
            parts = (x[:, :self.protected], *parts)
        return ops.concat(parts, 1)

    def matrix(self, metric, count: int):
        """Which tokens go into which: 1 where token n becomes part of token m. metric (B, N, d) -> (B, N - count, N)"""
        tokens = ops.tile(Tensor(np.eye(metric.shape[1])[None], mstype.float32), (metric.shape[0], 1, 1))
        return self.add_up(tokens, *self.decide(metric, count))
