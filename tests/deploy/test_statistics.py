"""Percentiles and intervals against known values and by simulation."""

import numpy as np
import pytest

from msnoah.deploy.statistics import median_interval, percentile, ratio_of_medians


@pytest.mark.parametrize(
    "samples, q, expected", [([3.0], 99, 3.0), ([1, 2, 3, 4], 50, 2.5), (range(101), 90, 90.0), ([2, 1], 0, 1.0)]
)
def test_percentile(samples, q, expected):
    assert percentile(samples, q) == pytest.approx(expected)


@pytest.mark.parametrize(
    "count, low, high", [(1, 1, 1), (5, 1, 5), (100, 40, 61)]
)  # ranks of the published table for n = 100
def test_median_interval_takes_these_ranks(count, low, high):
    assert median_interval(list(range(count, 0, -1))) == (low, high)


def test_intervals_cover_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(0)
    draws = generator.exponential(size=(300, 2, 60))
    medians = [median_interval(before) for before, _ in draws]
    ratios = [ratio_of_medians(before, 1.2 * after)[1] for before, after in draws[:150]]
    # 95 % nominal; 300 (150) draws have a standard error of 1.3 (1.8) points, and 4 of them are allowed.
    assert np.mean([low <= np.log(2) <= high for low, high in medians]) > 0.90
    assert np.mean([low <= 1.2 <= high for low, high in ratios]) > 0.88


def test_the_same_samples_give_the_same_interval():
    before, after = [1.0, 1.1, 1.2, 1.3], [2.0, 2.2, 2.4, 2.6]
    assert ratio_of_medians(before, after) == ratio_of_medians(before, after)
    assert ratio_of_medians(before, after)[0] == pytest.approx(2.0)
