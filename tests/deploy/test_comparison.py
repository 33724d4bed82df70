"""Two measurements and the gate."""

import json

import numpy as np
import pytest

from msnoah.deploy.comparison import compare
from msnoah.errors import ProfileError, RegressionError


def _noisy(median, spread=0.01, count=100):
    return list(median * (1 + spread * np.random.default_rng(1).standard_normal(count)))


@pytest.fixture
def pair(tmp_path, make_profile):
    """Writes a baseline of 10 ms and a second profile; returns both paths."""
    def write(after_ms=10.0, **changes):
        paths = tmp_path / "a.json", tmp_path / "b.json"
        make_profile(_noisy(10.0)).save(paths[0])
        make_profile(_noisy(after_ms), **changes).save(paths[1])
        return paths
    return write


@pytest.mark.parametrize(
    "after_ms, limit, regressed",
    [
        (10.0, 0.05, False),
        (10.4, 0.05, False),
        (10.6, 0.05, True),
        (8.0, 0.0, False),
        (10.6, None, False),
        (10.01, 0.0, True),
    ],
)
def test_the_gate_takes_the_ratio_of_medians(pair, after_ms, limit, regressed):
    comparison = compare(*pair(after_ms), max_regression=limit)
    [row] = comparison.rows
    assert row.ratio == pytest.approx(after_ms / 10) and row.interval[0] <= row.ratio <= row.interval[1]
    assert bool(comparison.regressions) == regressed
    if regressed:
        with pytest.raises(RegressionError, match="onnxruntime, 1 thread, batch 1: wall median") as caught:
            comparison.check()
        assert caught.value.exit_code == 1
    else:
        comparison.check()


@pytest.mark.parametrize("after_ms, spans", [(10.5, True), (12.0, False), (10.0, False)])
def test_an_interval_across_the_limit_is_said(pair, after_ms, spans):
    comparison = compare(*pair(after_ms), max_regression=0.05)
    assert any("spans the limit" in words for words in comparison.warnings) == spans


def test_the_metric_chooses_the_time(pair):
    paths = pair(20.0, cpu_ms=_noisy(10.0))
    assert compare(*paths, max_regression=0.05, metric="cpu").regressions == []
    assert compare(*paths, max_regression=0.05, metric="wall").regressions


@pytest.mark.parametrize("changes", [{"threads": 2}, {"batch_size": 8}, {"runtime": "mindspore"}])
def test_rows_that_do_not_match_are_refused(pair, changes):
    with pytest.raises(ProfileError, match="cannot be compared: onnxruntime, 1 thread, batch 1 against") as caught:
        compare(*pair(**changes))
    assert caught.value.exit_code == 2


def test_another_device_is_refused_with_a_gate_and_said_without(pair, make_device):
    paths = pair(device=make_device(chip="A phone"))
    with pytest.raises(ProfileError, match="measured on A phone .* the baseline on Test chip"):
        compare(*paths, max_regression=0.05)
    assert any("device was Test chip" in words for words in compare(*paths).warnings)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"version": "1.99"}, "onnxruntime version was 1.32.0, is 1.99"),
        ({"model": "other"}, "model was"),
        ({"precision": "int8"}, "precision was float32, is int8"),
        ({"verified": False}, "after: this artifact is not verified"),
    ],
)
def test_other_circumstances_are_said(pair, changes, words):
    assert any(words in line for line in compare(*pair(**changes)).warnings)


def test_run_folders_match_by_row(run, tmp_path, make_profile):
    for profile in (make_profile(), make_profile(threads=2), make_profile(runtime="mindspore")):
        profile.save(run.profiles_path / profile.file_name)
    other = tmp_path / "b.json"
    make_profile([2.0] * 20, threads=2).save(other)
    comparison = compare(run, other)
    assert [(row.label, row.ratio) for row in comparison.rows] == [("onnxruntime, 2 threads, batch 1", 2.0)]
    assert sum("only in" in words for words in comparison.warnings) == 2
    assert "p90 1 -> 2 ms" in comparison.text()
    assert json.loads(json.dumps(comparison.to_record()))["regressions"] == []


def test_a_run_without_profiles_says_how_to_take_them(run):
    with pytest.raises(ProfileError, match="msnoah profile"):
        compare(run, run)


def _rounds(reference_ms):
    return [{"start_s": 0.0, "runs": 100, "reference_ms": reference_ms}]


SPEEDS = [(1.0, 1.04, False), (1.0, 1.2, True), (1.2, 1.0, True), (None, 1.0, False)]


@pytest.mark.parametrize("before, after, said", SPEEDS)
def test_a_machine_of_another_speed_is_said(before, after, said, tmp_path, make_profile):
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for path, reference_ms in zip(paths, (before, after)):
        make_profile(_noisy(10.0), rounds=_rounds(reference_ms)).save(path)
    assert any("of another speed" in words for words in compare(*paths).warnings) == said


def test_rows_of_runs_match_by_device_and_precision_too(run, make_profile):
    for changes in ({}, {"precision": "int8"}, {"device_name": "phone"}):
        make_profile([1.0] * 20, **changes).save(run.profiles_path / make_profile(**changes).file_name)
    comparison = compare(run, run)
    assert sorted(row.label for row in comparison.rows) == [
        "onnxruntime, 1 thread, batch 1", "onnxruntime, 1 thread, batch 1 on phone",
        "onnxruntime, 1 thread, batch 1, int8"]


def test_one_profile_a_side_may_have_another_precision(pair):
    comparison = compare(*pair(8.0, precision="int8"))
    assert [row.ratio for row in comparison.rows] == [pytest.approx(0.8)]
    assert not any("only in" in words for words in comparison.warnings)
