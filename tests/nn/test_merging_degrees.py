"""Numbers of merged tokens by block: schedules as ToMe's, the largest number that fits, and what is refused."""

import pytest

from msnoah.errors import ModelError
from msnoah.nn.merging_degrees import check_tokens, spread
from msnoah.nn.token_compensator import TokenCompensator
from msnoah.registry import create_model
from tests.models.small_deit import SIZES


def tome_schedule(count: int, depth: int, inflection: float) -> list[int]:
    """ToMe's own formula; inflection 1 is increasing, -1 decreasing."""
    least = int(count * (1 - inflection))
    most = 2 * count - least
    step = (most - least) / (depth - 1)
    return [int(least + step * block) for block in range(depth)]


@pytest.mark.parametrize("schedule, inflection", [("constant", 0), ("decreasing", -1), ("increasing", 1)])
def test_schedules_are_tomes(schedule, inflection):
    for depth in range(2, 33):
        for count in range(64):
            assert spread("r", count, depth, schedule) == tome_schedule(count, depth, inflection)


def test_schedules_by_hand():
    assert spread("r", 8, 12, "decreasing") == [16, 14, 13, 11, 10, 8, 7, 5, 4, 2, 1, 0]
    assert spread("r", 8, 12, "increasing") == [0, 1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16]
    assert spread("r", 8, 1, "decreasing") == spread("r", 8, 1, "increasing") == [8]
    assert spread("r", (3, 0, 1), 3) == [3, 0, 1] and spread("r", [5], 1) == [5]


def merges_everywhere(count: int, depth: int, tokens: int, protected: int) -> bool:
    """Whether every block finds something to merge."""
    for _ in range(depth):
        merged = min(count, (tokens - protected) // 2)
        if merged <= 0:
            return False
        tokens -= merged
    return True


@pytest.mark.parametrize("tokens, protected, depth", [
    (197, 1, 12), (198, 2, 12), (17, 1, 3), (17, 1, 4), (50, 1, 6), (5, 1, 2), (4, 2, 1), (257, 1, 24), (3, 1, 2),
    (2, 1, 1),
])
def test_the_largest_number_that_an_error_names_is_the_largest(tokens, protected, depth):
    fitting = [count for count in range(1, 2 * tokens) if merges_everywhere(count, depth, tokens, protected)]
    for count in fitting:
        check_tokens([count] * depth, tokens, protected)
    if fitting and fitting[-1] == 2 * tokens - 1:     # any number fits: every block merges half of what is left
        return
    too_many = max(fitting, default=0) + 1
    with pytest.raises(ModelError, match=f"at most {max(fitting, default=0)} a block can be"):
        check_tokens([too_many] * depth, tokens, protected)


LINEAR = "linear attention has neither a class token nor merging; use attention='softmax'"
WHOLE = "expected a whole number of tokens, 0 or more, or a list of such"
BEYOND = "ToCom's plugin knows 0 to 16 merged tokens a block"
# the message, the model (full size where not small), arguments
REFUSED = [
    ("tokens_merged=40: uses up the 197 tokens; block 11 of 12 has 2 left and nothing to merge; "
     "at most 27 a block can be", "deit_tiny_patch16_224", {"tokens_merged": 40}),
    ("tokens_merged=[8, 8, 8, 1, 1]: uses up the 17 tokens; block 5 of 5 has 2 left and nothing to merge; "
     "at most 7 a block can be", "small", {"tokens_merged": [8, 8, 8, 1, 1], "depth": 5}),
    ("tokens_merged=-1: " + WHOLE, "small", {"tokens_merged": -1}),
    ("tokens_merged=2.5: " + WHOLE, "small", {"tokens_merged": 2.5}),
    ("tokens_merged='8': " + WHOLE, "small", {"tokens_merged": "8"}),
    ("tokens_merged=True: " + WHOLE, "small", {"tokens_merged": True}),
    ("tokens_merged=None: " + WHOLE, "small", {"tokens_merged": None}),
    ("tokens_merged=[1, -2, 0]: " + WHOLE, "small", {"tokens_merged": [1, -2, 0]}),
    ("source_degree=[1, 0.5, 0]: " + WHOLE, "small", {"source_degree": [1, 0.5, 0]}),
    ("tokens_merged=[1, 2]: has 2 numbers, but the model has 3 blocks", "small", {"tokens_merged": [1, 2]}),
    ("source_degree=[]: has 0 numbers, but the model has 3 blocks", "small", {"source_degree": []}),
    ("tokens_merged is a list, one number a block, so leave out merging_schedule='decreasing'",
     "small", {"tokens_merged": [1, 2, 3], "merging_schedule": "decreasing"}),
    ("merging_schedule='falling': expected one of 'constant', 'decreasing', 'increasing'",
     "small", {"tokens_merged": 1, "merging_schedule": "falling"}),
    ("source_degree=17: " + BEYOND, "small", {"source_degree": 17}),
    ("tokens_merged=17: " + BEYOND, "deit_tiny_patch16_224_tocom", {"tokens_merged": 17, "depth": 1}),
    ("tokens_merged: " + LINEAR, "small", {"tokens_merged": 2, "attention": "linear"}),
    ("source_degree: " + LINEAR, "small", {"source_degree": 2, "attention": "linear"}),
    ("distilled: " + LINEAR, "small", {"distilled": True, "attention": "linear"}),
    ("tocom_scale='0.1': expected a finite number", "small", {"source_degree": 2, "tocom_scale": "0.1"}),
    ("tocom_scale=nan: expected a finite number", "small", {"source_degree": 2, "tocom_scale": float("nan")}),
    ("tocom_scale=-inf: expected a finite number", "small", {"source_degree": 2, "tocom_scale": float("-inf")}),
    ("tocom_scale=True: expected a finite number", "small", {"source_degree": 2, "tocom_scale": True}),
    ("tocom_units=0: expected whole numbers of at least 1", "small", {"source_degree": 2, "tocom_units": 0}),
]


@pytest.mark.parametrize("message, name, arguments", REFUSED, ids=[row[0].split(":")[0] for row in REFUSED])
def test_numbers_that_cannot_be_merged_are_refused_by_what_was_found(message, name, arguments):
    name, sizes = ("deit_tiny_patch16_224", SIZES) if name == "small" else (name, {})
    with pytest.raises(ModelError) as caught:
        create_model(name, **{**sizes, **arguments})
    assert str(caught.value) == message


@pytest.mark.parametrize("source, target, scale", [(-1, 0, 0.1), (0, 17, 0.1), (0, 8, float("nan"))])
def test_a_plugin_refuses_what_it_does_not_know(source, target, scale):
    with pytest.raises(ModelError):
        TokenCompensator(8, tokens=4).gate(source, target, scale)
