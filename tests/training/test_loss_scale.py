import pytest

from msnoah.errors import TrainingError
from msnoah.training.loss_scale import GROWTH_STEPS, LONGEST_RUN_OF_SKIPS, LossScale


def test_halves_at_an_overflow_and_doubles_after_long_luck():
    scale = LossScale(enabled=True)
    scale.adjust(False)
    assert (scale.value, scale.skipped_steps) == (2.0**15, 1)
    for _ in range(GROWTH_STEPS):
        scale.adjust(True)
    assert (scale.value, scale.good_steps) == (2.0**16, 0)


def test_state_goes_on_where_it_was():
    scale, other = LossScale(enabled=True), LossScale(enabled=True)
    for finite in (False, True, True):
        scale.adjust(finite)
    other.restore(scale.state())
    assert other.state() == scale.state() == {"value": 2.0**15, "good_steps": 2, "skipped_steps": 1}


def test_endless_overflow_stops_the_run():
    scale = LossScale(enabled=True)
    with pytest.raises(TrainingError, match=r"overflowed in 20 steps in a row, down to loss scale 1;"):
        for _ in range(LONGEST_RUN_OF_SKIPS):
            scale.adjust(False)


def test_float32_needs_none():
    scale = LossScale(enabled=False)
    scale.adjust(False)
    assert (scale.value, scale.skipped_steps) == (1.0, 0)
