"""Token merging by matrices and by gathering, against ToMe the textbook way on random tokens, and its derivative."""

import mindspore as ms
import numpy as np
import pytest

from msnoah.nn.gathering_token_merging import GatheringTokenMerging, with_gathering
from msnoah.nn.token_merging import TokenMerging, merged_count, rank_descending
from tests.nn import tome_reference

FORMS = {"matrix": TokenMerging, "gather": GatheringTokenMerging}
GATE = 2e-6  # float32 sums of up to 20 tokens of unit variance
NEAR_TIE = 1e-6  # cosines in float32; seeds whose margin is below are passed over
# tokens, merged, protected: some are merged, all that can be, and more than that asked for
FEW = [(12, 3, 0), (12, 4, 1), (13, 6, 1), (12, 5, 2), (4, 1, 2)]
SMALLEST = [(2, 1, 0), (3, 1, 1), (13, 20, 2)]
MANY = [(tokens, count, protected) for tokens in (12, 13, 20, 21, 34) for protected in (0, 1, 2)
        for count in sorted({1, 3, (tokens - protected) // 2 - 1, (tokens - protected) // 2, tokens})]
CASES = [pytest.param(case, id="-".join(map(str, case)), marks=[] if case in FEW else pytest.mark.slow)
         for case in sorted({*FEW, *SMALLEST, *MANY})]
BATCH, WIDTH, DIRECTIONS = 3, 5, 4


def random_tokens(tokens: int, count: int, protected: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, sizes and metric of a batch whose decisions are no near-ties."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, metric = rng.standard_normal((BATCH, tokens, WIDTH)), rng.standard_normal((BATCH, tokens, DIRECTIONS))
        if tokens < 4 or min(tome_reference.margin(sample, count, protected) for sample in metric) > NEAR_TIE:
            break
    return x, rng.integers(1, 9, (BATCH, tokens, 1)).astype(float), metric


def tied_tokens(tokens: int) -> np.ndarray:
    """Corners of a cube, each several times: norms and cosines are exact in float32, and most of them are equal."""
    return np.random.default_rng(tokens).choice([-1.0, 1.0], (BATCH, tokens, 4))


def tensors(*arrays):
    return [ms.Tensor(array.astype(np.float32)) for array in arrays]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_both_forms_merge_as_the_textbook_does(form, case):
    _, count, protected = case
    x, size, metric = random_tokens(*case)
    merged, sizes = FORMS[form](count, protected)(*tensors(x, size, metric))
    for sample in range(BATCH):
        expected = tome_reference.merge(x[sample], size[sample], metric[sample], count, protected)
        np.testing.assert_allclose(merged[sample].asnumpy(), expected[0], atol=GATE, rtol=0)
        assert np.array_equal(sizes[sample].asnumpy(), expected[1])


@pytest.mark.parametrize("tied", [False, True], ids=["random", "tied"])
@pytest.mark.parametrize("case", CASES)
def test_forms_decide_in_the_textbook_order_and_of_equal_tokens_for_the_first(case, tied):
    tokens, count, protected = case
    metric = tied_tokens(tokens) if tied else random_tokens(*case)[2]
    merges = merged_count(count, tokens, protected)
    kept, merged, into = GatheringTokenMerging(count, protected).places(*tensors(metric), merges)
    rows = TokenMerging(count, protected).matrix(*tensors(metric), merges).asnumpy()
    for sample in range(BATCH):
        expected = tome_reference.decide(metric[sample], count, protected)
        assert np.array_equal(merged[sample].asnumpy(), expected[0])
        assert np.array_equal(into[sample].asnumpy() * 2 + (3 if protected > 1 else 1), expected[1])
        assert np.array_equal(kept[sample].asnumpy(), expected[2][int(protected > 0):])
        assert np.array_equal(rows[sample], tome_reference.membership(metric[sample], count, protected))


@pytest.mark.parametrize("form", FORMS)
def test_without_sizes_every_token_counts_one(form):
    x, _, metric = random_tokens(13, 3, 1)
    merged, sizes = FORMS[form](3)(*tensors(x), None, *tensors(metric))
    again, same = FORMS[form](3)(*tensors(x, np.ones((BATCH, 13, 1)), metric))
    np.testing.assert_allclose(merged.asnumpy(), again.asnumpy(), atol=GATE, rtol=0)
    assert np.array_equal(sizes.asnumpy(), same.asnumpy())


@pytest.mark.parametrize("form", FORMS)
def test_nothing_to_merge_passes_everything_on(form):
    x, metric = tensors(*random_tokens(13, 3, 1)[::2])
    merged, sizes = FORMS[form](0)(x, None, metric)
    assert merged is x and sizes is None


@pytest.mark.parametrize("form", FORMS)
def test_tokens_that_point_the_same_way_are_alike_whatever_their_length(form):
    x, size, metric = random_tokens(13, 3, 1)
    longer = metric * np.linspace(0.25, 4, 13)[:, None]
    merge = FORMS[form](3)
    outputs = [merge(*tensors(x, size, tokens))[0].asnumpy() for tokens in (metric, longer)]
    np.testing.assert_allclose(*outputs, atol=GATE, rtol=0)


@pytest.mark.parametrize("count, tokens, protected, expected", [
    (8, 197, 1, 8), (16, 21, 1, 10), (16, 22, 2, 10), (16, 21, 2, 9), (16, 20, 0, 10), (0, 197, 1, 0),
    (4, 1, 1, 0), (4, 2, 1, 0), (1, 1, 2, 0),
])
def test_at_most_half_of_the_unprotected_tokens_are_merged(count, tokens, protected, expected):
    assert merged_count(count, tokens, protected) == expected


def test_ranks_are_places_in_a_stable_sort():
    values = np.random.default_rng(0).integers(0, 5, (4, 17))
    ranks = rank_descending(*tensors(values)).asnumpy()
    order = np.argsort(-values, axis=1, kind="stable")
    assert np.array_equal(np.take_along_axis(ranks, order, 1), np.tile(np.arange(17), (4, 1)))


def test_compiled_training_has_the_derivative_of_a_weighted_mean():
    """d/dx sum(w * (M (s x)) / (M s)) = s * M^T (w / (M s)); decisions have no derivative."""
    x, size, metric = random_tokens(13, 3, 1)
    weight = np.random.default_rng(9).standard_normal((BATCH, 10, WIDTH))
    merge = TokenMerging(3)

    def loss(x, size, metric, weight):
        return (merge(x, size, metric)[0] * weight).sum()

    gradients = ms.jit(ms.grad(loss, (0, 2)))(*tensors(x, size, metric, weight))
    for sample in range(BATCH):
        rows = tome_reference.membership(metric[sample], 3, 1)
        expected = size[sample] * (rows.T @ (weight[sample] / (rows @ size[sample])))
        np.testing.assert_allclose(gradients[0][sample].asnumpy(), expected, atol=GATE, rtol=0)
    assert not gradients[1].asnumpy().any()


def test_gathering_leaves_the_original_whole():
    model = ms.nn.CellList([TokenMerging(4, 2)])
    gathering = with_gathering(model)
    assert type(model[0]) is TokenMerging and type(gathering[0]) is GatheringTokenMerging
    assert (gathering[0].count, gathering[0].protected) == (4, 2)
