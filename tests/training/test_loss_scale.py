import math

import pytest

from msnoah.training.loss_scale import GROWTH_STEPS, LONGEST_RUN_OF_SKIPS, LossScale, Outcome, outcome_of

FINITE, BAD_GRADIENTS, BAD_LOSS = Outcome


def test_halves_at_an_overflow_and_doubles_after_long_luck():
    scale = LossScale(enabled=True)
    scale.adjust(BAD_GRADIENTS)
    assert (scale.value, scale.skipped_steps) == (2.0**15, 1)
    for _ in range(GROWTH_STEPS):
        scale.adjust(FINITE)
    assert (scale.value, scale.good_steps) == (2.0**16, 0)


def test_state_goes_on_where_it_was():
    scale, other = LossScale(enabled=True), LossScale(enabled=True)
    for outcome in (BAD_GRADIENTS, FINITE, FINITE, BAD_LOSS):
        scale.adjust(outcome)
    expected = {"value": 2.0**15, "good_steps": 2, "skipped_steps": 2, "skips_in_a_row": 1}
    other.restore(scale.state())
    assert other.state() == scale.state() == expected
    del expected["skips_in_a_row"]   # as older checkpoints have it
    other.restore(expected)
    assert other.skips_in_a_row == 0


@pytest.mark.parametrize("outcome, value", [(BAD_GRADIENTS, 1.0), (BAD_LOSS, 2.0**16)])   # no scale mends a loss
def test_endless_skips_are_no_use(outcome, value):
    scale = LossScale(enabled=True)
    for _ in range(LONGEST_RUN_OF_SKIPS):
        assert not scale.is_stuck
        scale.adjust(outcome)
    assert scale.is_stuck and scale.value == value
    scale.adjust(FINITE)
    assert not scale.is_stuck


def test_float32_needs_no_scale_but_the_count():
    scale = LossScale(enabled=False)
    for outcome in (BAD_GRADIENTS, BAD_LOSS, FINITE):
        scale.adjust(outcome)
    assert scale.state() == {"value": 1.0, "good_steps": 0, "skipped_steps": 2, "skips_in_a_row": 0}


@pytest.mark.parametrize("losses, norm, outcome", [
    ((1.0, 2.0), 3.0, FINITE), ((1.0,), math.inf, BAD_GRADIENTS), ((1.0, math.nan), 3.0, BAD_LOSS),
    ((math.inf,), math.nan, BAD_LOSS)])
def test_outcome_of_a_step(losses, norm, outcome):
    assert outcome_of(losses, norm) is outcome
