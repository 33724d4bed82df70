"""The scan of layers and the search for how many stay float, on made-up networks."""

import numpy as np
import pytest

from msnoah.deploy.quantization_groups import Group
from msnoah.deploy.quantization_search import scan, search

GROUPS = [Group(name, (f"{name}.MatMul",), 10) for name in ("a", "b", "c")]
LOGITS = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)


def answer_with(errors):
    """A network whose logits move by what each quantised node adds."""
    return lambda nodes: LOGITS + sum((errors[node[0]] for node in nodes), np.float32(0))


def test_the_most_damaging_comes_first():
    rows = scan(GROUPS, answer_with({"a": 0.01, "b": 1.0, "c": 0.1}), [], lambda: None)
    assert [row["group"] for row in rows] == ["b", "c", "a"]
    assert rows[0]["damage"] == pytest.approx(LOGITS.size / np.square(LOGITS).sum(), rel=1e-5)
    assert rows[0]["sqnr_db"] - rows[2]["sqnr_db"] == pytest.approx(-40, abs=1e-3)   # a hundredth of it


@pytest.mark.parametrize("found, damage, decibels", [
    (LOGITS, 0.0, 200.0), (np.full_like(LOGITS, np.nan), 1e300, -3000.0),
    (np.full_like(LOGITS, np.inf), 1e300, -3000.0),
])
def test_damage_is_a_number_whatever_comes_out(found, damage, decibels):
    rows = scan(GROUPS[:1], lambda nodes: found if nodes else LOGITS, [], lambda: None)
    assert (rows[0]["damage"], rows[0]["sqnr_db"]) == (damage, pytest.approx(decibels))


def test_labels_are_compared_one_by_one():
    labels = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    rows = scan(GROUPS[:1], lambda nodes: np.where(labels < 4, 99, labels) if nodes else labels, [], lambda: None)
    assert rows[0]["damage"] == 0.25 and rows[0]["sqnr_db"] is None


def test_a_scan_goes_on_after_the_rows_that_are_there():
    saved, rows, asked = [], [{"group": "b", "damage": 7.0}], []

    def answer(nodes):
        asked.append(list(nodes))
        return LOGITS

    scan(GROUPS, answer, rows, lambda: saved.append(len(rows)))
    assert asked == [[], ["a.MatMul"], ["c.MatMul"]] and saved == [2, 3] and rows[0]["group"] == "b"


@pytest.mark.parametrize("count", [1, 2, 3, 8, 37, 120])
def test_the_fewest_layers_are_found_in_few_attempts(count):
    """Whatever number is needed; one layer always stays in int8. 2 log2(n) + 2 is doubling up and halving down."""
    names = [str(number) for number in range(count)]
    for needed in range(count + 1):
        attempts = []

        def attempt(kept):
            attempts.append(len(kept))
            return {"good": len(kept) >= needed}

        chosen = search(names, attempt, [], lambda: None)
        assert chosen is None if needed == count else chosen["kept"] == needed
        assert len(attempts) == len(set(attempts)) <= 2 * np.log2(count) + 2 and count not in attempts


def test_a_search_goes_on_after_the_steps_that_are_there():
    steps, tried = [{"kept": 0, "good": False}, {"kept": 1, "good": False}], []

    def attempt(kept):
        tried.append(list(kept))
        return {"good": True}

    assert search(["a", "b", "c"], attempt, steps, lambda: None)["kept"] == 2 and tried == [["a", "b"]]
