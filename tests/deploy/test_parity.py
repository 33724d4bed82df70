"""From where on a difference of outputs says something, by precision."""

import pytest

from msnoah.deploy.parity import LIMITS, Parity
from msnoah.deploy.runtimes.table import RUNTIMES

CASES = [  # precision, largest difference, whether it is worth a word, whether it is another model
    ("float32", 9e-4, False, False), ("float32", 2e-3, True, False), ("float32", 2e-2, True, True),
    ("float16", 9e-3, False, False), ("float16", 5e-2, True, False), ("float16", 0.2, True, True),
    ("int8", 0.4, False, False), ("int8", 1.2, True, True), ("int8", float("nan"), True, True),
    ("float32", float("inf"), True, True), ("unheard of", 2e-2, True, True),
]


@pytest.mark.parametrize("precision, max_rel, worth_a_word, wrong", CASES)
def test_limits(precision, max_rel, worth_a_word, wrong):
    parity = Parity(against="mindspore", max_rel=max_rel)
    words = parity.describe(precision)
    assert parity.is_wrong(precision) == wrong and (words is not None) == worth_a_word
    assert ("computes something else" in (words or "")) == wrong


def test_limits_grow_with_coarser_numbers():
    order = [LIMITS[name].wrong for name in ("float32", "float16", "bfloat16", "int8")]
    assert order == sorted(order) and "mindspore" in RUNTIMES
