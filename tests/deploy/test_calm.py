"""Which rounds count, and how well their median is known."""

import math

import numpy as np
import pytest

from msnoah.deploy.calm import CALM, calm_rounds, estimate
from msnoah.deploy.measurement import Round


def _rounds(*references, runs=2):
    return [Round(float(number), runs, reference) for number, reference in enumerate(references)]


@pytest.mark.parametrize("references, calm", [
    ((1.0, CALM, CALM + 0.01, 2.0), [True, True, False, False]),
    ((3.0,), [True]),
    ((1.0, None, 5.0), [True] * 3),  # one that was not timed says nothing of the others
    ((), []),
])
def test_calm_is_measured_by_the_fastest(references, calm):
    assert calm_rounds(_rounds(*references)) == calm


def test_the_median_is_of_the_runs_of_calm_rounds():
    found = estimate([1.0, 3.0, 90.0, 90.0, 2.0, 2.0], _rounds(1.0, 2.0, 1.0))
    assert (found.ms, found.calm, found.rounds) == (2.0, 2, 3)
    assert found.interval == (2.0, 2.0) and math.isinf(found.width)  # two rounds cannot give an interval of 95 %


def test_without_rounds_all_runs_count_and_nothing_is_said_of_the_interval():
    found = estimate([1.0, 2.0, 9.0], [])
    assert (found.ms, found.rounds, math.isinf(found.width)) == (2.0, 1, True)


def test_the_interval_covers_the_truth_where_runs_of_a_round_are_alike():
    """Rounds of 10 runs, each round shifted by the noise of its moment: an interval that counts runs would miss it."""
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        shifts = generator.normal(0, 0.02, (30, 1))
        values = 1 + shifts + generator.normal(0, 0.005, (30, 10))
        low, high = estimate(values.ravel(), _rounds(*[1.0] * 30, runs=10)).interval
        covered.append(low <= 1 <= high)
    assert np.mean(covered) > 0.90  # 95 % nominal; the standard error of 300 draws is 1.3 points, 4 of them allowed
