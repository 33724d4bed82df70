"""Primitives that pick elements by index or order them: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import FirstOutput, PlusConstant, Swapped, normal

x34 = normal(3, 4)
tokens = normal(2, 5, 8)
columns = np.array([[0, 2], [1, 1], [3, 0]], np.int32)
rows = np.array([[0, 2], [1, 1]], np.int32)
some = np.array([2, 0])
mask = np.array([True, False, True, True])
steps = np.sort(normal(3, 5))
shuffled = np.argsort(normal(2, 5, 8), axis=1).astype(np.float32)


def sort(x, axis: int, descending: bool):
    order = np.argsort(-x if descending else x, axis, kind="stable")
    return np.take_along_axis(x, order, axis), order


CASES = [
    case("Gather", ops.Gather(), x34, rows, constants=(0,)),
    case("Gather", ops.Gather(), x34, np.array([-1, 2]), constants=(0,), reference=lambda x, i: x[i]),
    *[
        case("Gather", ops.Gather(batch), tensor, indices, constants=(axis,))
        for tensor, indices, axis, batch in (
            (x34, columns, 1, 1), (tokens, rows, 2, 1), (normal(2, 2, 4, 5), np.stack([rows, rows + 1]), 3, 2),
        )
    ],
    case("SparseGatherV2", ops.SparseGatherV2(), x34, some, constants=(1,), reference=lambda x, i: x[:, i]),
    case("GatherD", Swapped(ops.GatherD(), 1, 1), x34, columns),
    case("GatherD", Swapped(ops.GatherD(), 1, 1), x34, columns - 4),
    case("GatherNd", ops.GatherNd(), x34, rows),
    case("GatherNd", ops.GatherNd(), tokens, np.array([[[0], [1]], [[1], [0]]])),
    *[
        case("GatherNd", ops.GatherNd(), tokens, constants=(Tensor(np.stack(np.meshgrid(*lists, indexing="ij"), -1)),))
        for lists in (([0, 1], [1, 2, 3]), ([1], [4, 0, 2], [7]))
    ],
    case("GatherNd", ops.GatherNd(), tokens, constants=(Tensor([[0, 1], [1, 4]]),)),
    case("GatherNdExt", primitives.GatherNdExt(), x34, rows),
    case("IndexSelect", Swapped(primitives.IndexSelect(), 1, 1), x34, some, reference=lambda x, i: x[:, i]),
    case("Take", primitives.Take(), x34, rows, reference=np.take),
    case("Embedding", primitives.Embedding(), rows, x34, reference=lambda i, w: w[i]),
    case("EmbeddingLookup", ops.EmbeddingLookup(), x34, rows, constants=(0,)),
    case(
        "RepeatInterleaveInt", primitives.RepeatInterleaveInt(), x34, constants=(2, 1, None),
        reference=lambda x: x.repeat(2, 1),
    ),
    case(
        "RepeatInterleaveTensor", primitives.RepeatInterleaveTensor(), x34, constants=(Tensor([1, 0, 2]), 0, None),
        reference=lambda x: x.repeat([1, 0, 2], 0),
    ),
    case("MaskedSelect", ops.MaskedSelect(), x34, constants=(Tensor(mask),)),
    case("NonZero Add", PlusConstant(ops.NonZero(), Tensor(mask)), np.ones((3, 1), np.int64)),
    case(
        "NonZeroExt Add", PlusConstant(FirstOutput(primitives.NonZeroExt()), Tensor(mask)), np.ones(3, np.int64),
        reference=lambda x: x + np.flatnonzero(mask),
    ),
    case("Unique Add", PlusConstant(FirstOutput(ops.Unique()), Tensor([3, 1, 3, 2])), np.zeros(3, np.int64)),
    case(
        "Unique2 Add", PlusConstant(FirstOutput(primitives.Unique2()), Tensor([3, 1, 3, 2])), np.zeros(3, np.int64),
        reference=lambda x: x + np.arange(1, 4),
    ),
    # --- ordering
    *[case("TopK", ops.TopK(), numbers, constants=(2,)) for numbers in (x34, x34.astype(np.float16), columns.T)],
    case(
        "TopkExt", primitives.TopkExt(), tokens, constants=(2, 1, False, True),
        reference=lambda x: [part[:, :2] for part in sort(x, 1, False)],
    ),
    *[case("Sort", ops.Sort(axis, descending), shuffled) for axis, descending in ((1, True), (1, False))],
    case("SortExt", primitives.SortExt(), shuffled, constants=(1, True, True), reference=lambda x: sort(x, 1, True)),
    case("ArgSort", primitives.ArgSort(), shuffled, constants=(1, False), reference=lambda x: sort(x, 1, False)[1]),
    *[case("SearchSorted", ops.SearchSorted(right=right), steps, steps[:, ::2]) for right in (False, True)],
    case("SearchSorted", primitives.SearchSorted(), steps[0], x34, reference=np.searchsorted),
    case("Bucketize", ops.Bucketize([-0.5, 0.0, 0.5]), np.array([[-1, 0, 0.25, 0.5]], np.float32)),
    *[case(name, getattr(ops, name)(), steps, steps[:, 1:3]) for name in ("LowerBound", "UpperBound")],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
