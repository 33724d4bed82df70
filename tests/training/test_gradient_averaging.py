"""How gradients are joined into messages; that workers average them is tests/training/test_workers.py."""

import pytest

from msnoah.training.gradient_averaging import average_gradients, fill_buckets
from msnoah.training.worker_group import ALONE


@pytest.mark.parametrize("sizes,limit,buckets", [
    ([], 10, []), ([3], 10, [(0, 1)]), ([3, 4, 5], 10, [(0, 2), (2, 3)]), ([30, 4], 10, [(0, 1), (1, 2)]),
    ([4, 30, 4], 10, [(0, 1), (1, 2), (2, 3)]), ([5, 5, 1], 10, [(0, 2), (2, 3)]), ([1] * 5, 10, [(0, 5)]),
])
def test_buckets_hold_neighbours_up_to_the_limit(sizes, limit, buckets):
    assert fill_buckets(sizes, limit) == buckets


def test_one_worker_averages_nothing():
    assert average_gradients([], ALONE) is None
