"""The dial: what is chosen for a budget, how a family is measured, and what is refused."""

import json
import shutil

import pytest
from small_family import DEGREES, write_family

from msnoah.cli import main
from msnoah.config import ProfileConfig
from msnoah.deploy import tuning
from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.family import open_family
from msnoah.deploy.report import write_report
from msnoah.deploy.report.charts import Mark, mark_chart
from msnoah.deploy.rows import Profiles
from msnoah.deploy.tuning import Budget, tune
from msnoah.errors import BudgetError, DataError, ProfileError, RunFolderError
from msnoah.run_folder import read_json, write_json

SETTINGS = ProfileConfig(time_limit_s=0, warmup=0, repeats=20)
QUICK = ["--warmup", "0", "--repeats", "3", "--time-limit", "0"]


@pytest.fixture
def family_run(run):
    write_family(run)
    return run


@pytest.fixture
def scripted(monkeypatch, make_profile):
    """A function that fixes the wall and CPU latencies of r0, r2 and r4, and their accuracies."""
    def script(wall_ms, cpu_ms=None, top1=(0.9, 0.8, 0.85)):
        def measure(rows, settings, operator_runs):
            assert operator_runs == 0
            times = zip(rows, wall_ms, cpu_ms or wall_ms, strict=True)
            return Profiles([
                make_profile([wall] * 20, [cpu] * 20, sha256=row.artifact.sha256, parity=None,
                             verified=row.artifact.verified) for row, wall, cpu in times], [])

        scores = dict(zip(("r0.onnx", "r2.onnx", "r4.onnx"), top1, strict=True))
        monkeypatch.setattr(tuning, "profile_rows", measure)
        monkeypatch.setattr(tuning, "evaluate_file", lambda run, artifact, threads: {
            "top1": scores[artifact.path.name], "images": 360})
    return script


# budget, wall, CPU, degrees that are not verified, what is chosen
CHOICES = {
    "the least merging within the budget": (Budget(5), (6, 4, 2), None, (), 2),
    "exactly the budget": (Budget(4), (6, 4, 2), None, (), 2),
    "nothing need be merged": (Budget(50), (6, 4, 2), None, (), 0),
    "the most accurate within the budget": (Budget(5, choose="accuracy"), (6, 4, 2), None, (), 4),
    "the most accurate of all": (Budget(50, choose="accuracy"), (6, 4, 2), None, (), 0),
    "CPU time": (Budget(5, "cpu"), (60, 40, 20), (7, 6, 5), (), 4),
    "what is not verified is never chosen": (Budget(5), (6, 4, 2), None, (2,), 4),
    "a member that is slower though it merges more": (Budget(5), (6, 7, 2), None, (), 4),
    "none": (Budget(1), (6, 4, 2), None, (), None),
    "none that is verified": (Budget(5), (6, 4, 5.5), None, (2,), None),
}


@pytest.mark.parametrize("budget,wall,cpu,unverified,expected", CHOICES.values(), ids=CHOICES)
def test_choice(run, scripted, budget, wall, cpu, unverified, expected):
    write_family(run, unverified)
    scripted(wall, cpu)
    found = tune(run, budget, SETTINGS)
    assert (found.choice and found.choice.member.facts.tokens_merged) == expected
    record = read_json(run.tuning_path)
    assert record["choice"] == (None if expected is None else f"family/r{expected}.onnx")
    assert [point["tokens_merged"] for point in record["points"]] == list(DEGREES)
    assert found.table().count("<- chosen") == (expected is not None)
    if expected is None:
        with pytest.raises(BudgetError, match="the fastest, r[024], takes .* ms"):
            found.check()


def test_a_verdict_within_the_noise_is_said(family_run, monkeypatch, make_profile):
    times = [[3.0] * 20, [1.8] * 9 + [2.2] * 11, [1.0] * 20]
    monkeypatch.setattr(tuning, "profile_rows", lambda rows, settings, operator_runs: Profiles(
        [make_profile(wall, parity=None) for wall in times], []))
    found = tune(family_run, Budget(2), SETTINGS, accuracy=False)
    assert [words for words in found.warnings() if "spans the budget" in words][0].startswith("r2: ")
    assert found.choice.member.name == "r4" and found.points[0].top1 is None and "-" in found.table()


@pytest.mark.parametrize("wall,speaks", [((2, 3, 4), True), ((4, 3, 2), False), ((3, 4, 2), False), ((3, 3, 4), False)])
def test_merging_that_does_not_pay_is_said(family_run, scripted, wall, speaks):
    scripted(wall)
    found = tune(family_run, Budget(5), SETTINGS, accuracy=False)
    assert ("r0 is the fastest: merging more does not pay for this model here" in found.warnings()) == speaks


def test_a_family_is_measured_and_evaluated(family_run, monkeypatch, capsys):
    arguments = ["tune", str(family_run.path), "--budget-ms", "1000", *QUICK, "--json"]
    assert main(arguments) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == read_json(family_run.tuning_path)
    assert record["choice"] == "family/r0.onnx" and record["runtime"] == "onnxruntime" and record["repeats"] == 3
    points = record["points"]
    assert [len(point[key]) for point in points for key in ("wall_ms", "cpu_ms")] == [3] * 6
    assert points[0]["top1"] == points[1]["top1"] != points[2]["top1"]
    intervals = [(point["median_ms"]["wall"], *point["interval_ms"]["wall"]) for point in points]
    assert all(low <= median <= high for median, low, high in intervals)
    known = read_json(family_run.family_path / "accuracy.json")
    monkeypatch.setattr(tuning, "evaluate_file", None)   # accuracies are kept, so that it is not called
    assert main([*arguments[:-1], "--choose", "accuracy"]) == 0
    assert "is the most accurate of those that meet 1000 ms" in capsys.readouterr().out
    assert len(known) == 3 and read_json(family_run.family_path / "accuracy.json") == known


def test_accuracies_of_other_data_or_files_are_not_taken(family_run, scripted):
    scripted((6, 4, 2))
    tune(family_run, Budget(5), SETTINGS)
    config = family_run.config()
    family_run.write_config(config.model_copy(update={"data": config.data.model_copy(update={"crop_fraction": 1.0})}))
    scripted((6, 4, 2), top1=(0.1, 0.2, 0.3))
    assert [point.top1 for point in tune(family_run, Budget(5), SETTINGS).points] == [0.1, 0.2, 0.3]


def test_one_member_is_profiled_by_its_path(family_run, capsys):
    assert main(["profile", str(family_run.family_path / "r2.onnx"), *QUICK, "--runtime", "onnxruntime"]) == 0
    assert "onnxruntime" in capsys.readouterr().out


def test_the_hash_of_a_member_is_of_its_weights_too(family_run):
    path = family_run.family_path / "r0.onnx"
    before = open_artifact(path)
    assert before.size_bytes == path.stat().st_size + 64 * 10 * 4 and before.precision == "float32"
    _spoil(family_run.family_path / "weights.bin")
    assert open_artifact(path).sha256 != before.sha256
    (family_run.family_path / "weights.bin").unlink()
    with pytest.raises(ProfileError, match="weights.bin: cannot be read"):
        open_artifact(path)


def _spoil(path):
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def _replace_record(run, **changes):
    write_json(run.family_record_path, {**read_json(run.family_record_path), **changes})


# what is done to the family, what is raised
SPOILT = {
    "none": (lambda run: shutil.rmtree(run.family_path), RunFolderError, "has no family; `msnoah export .* --family"),
    "weights of another export": (
        lambda run: _spoil(run.family_path / "weights.bin"), ProfileError, "weights.bin: stale.* --family"),
    "a member of another export": (
        lambda run: shutil.copy(run.family_path / "r0.onnx", run.family_path / "r4.onnx") and
        _spoil(run.family_path / "r4.onnx"), ProfileError, "r4.onnx: stale|r4.onnx: not an ONNX model"),
    "a member is gone": (
        lambda run: (run.family_path / "r2.onnx").unlink(), ProfileError, "r2.onnx: cannot be read"),
    "weights are gone": (
        lambda run: (run.family_path / "weights.bin").unlink(), ProfileError, "weights.bin: cannot be read"),
    "a record that was cut": (
        lambda run: run.family_record_path.write_text('{"members": ['), RunFolderError, "family.json:1: not JSON"),
    "a record without members": (
        lambda run: _replace_record(run, members=[]), RunFolderError, "has no members"),
    "a record of another form": (
        lambda run: _replace_record(run, members=[{"file": "r0.onnx"}]), RunFolderError, "family.json: damaged"),
    "a record without weights": (
        lambda run: _replace_record(run, weights=None), RunFolderError, "family.json: damaged"),
}


@pytest.mark.parametrize("spoil,error,words", SPOILT.values(), ids=SPOILT)
def test_families_that_are_not_whole(family_run, spoil, error, words):
    spoil(family_run)
    with pytest.raises(error, match=words) as caught:
        open_family(family_run)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


WRONG = {
    "no time": (["--budget-ms", "0"], "a budget of 0 ms: expected a number above 0"),
    "less than no time": (["--budget-ms=-3"], "a budget of -3 ms"),
    "all the time": (["--budget-ms", "inf"], "a budget of inf ms"),
    "no number": (["--budget-ms", "nan"], "a budget of nan ms"),
    "no threads": (["--budget-ms", "1", "--threads", "0"], "threads.0: Input should be greater than or equal to 1"),
    "unknown runtime": (["--budget-ms", "1", "--runtime", "tflight"], "unknown runtime 'tflight'"),
    "runtime of another format": (["--budget-ms", "1", "--runtime", "mindspore"], "mindspore does not run ONNX files"),
    "accuracy without accuracies": (
        ["--budget-ms", "1", "--choose", "accuracy", "--no-accuracy"], "leave --no-accuracy out"),
}


@pytest.mark.parametrize("options,words", WRONG.values(), ids=WRONG)
def test_wrong_use_costs_one_line(family_run, capsys, options, words):
    assert main(["tune", str(family_run.path), *options]) == 2
    captured = capsys.readouterr().err
    assert words in captured and captured.count("\n") == 1 and not family_run.tuning_path.exists()


def test_without_val_data(family_run, monkeypatch):
    def no_data(data, split):
        raise DataError("no such folder")

    monkeypatch.setattr("msnoah.deploy.evaluation.open_source", no_data)
    with pytest.raises(DataError, match="no such folder; --no-accuracy tunes without data"):
        tune(family_run, Budget(5), SETTINGS)


def test_a_member_that_cannot_be_measured_is_named(family_run, monkeypatch):
    def measure(rows, settings, operator_runs):
        rows[1].error = "out of memory"
        return Profiles([], [])

    monkeypatch.setattr(tuning, "profile_rows", measure)
    with pytest.raises(ProfileError, match="r2.onnx: out of memory"):
        tune(family_run, Budget(5), SETTINGS, accuracy=False)


def test_the_report_shows_the_dial(family_run, scripted):
    scripted((6, 4, 2))
    tune(family_run, Budget(5), SETTINGS)
    page = write_report(family_run).read_text(encoding="utf-8")
    assert all(words in page for words in (
        "The dial", "Accuracy (%) over latency", "r = 4", "budget</text>", 'class="ring"', "family/r2.onnx", "85.00%",
        "merges least of those that take at most 5.00 ms", "on 360 held-out images"))
    assert "tune again" not in page
    _replace_record(family_run, members=read_json(family_run.family_record_path)["members"][:2])
    assert "tune again" in write_report(family_run).read_text(encoding="utf-8")


def test_the_report_without_accuracies_or_choice(family_run, scripted):
    scripted((6, 4, 2))
    tune(family_run, Budget(0.5), SETTINGS, accuracy=False)
    page = write_report(family_run).read_text(encoding="utf-8")
    assert "Multiply-adds (million) over latency" in page and "top-1</th>" not in page
    assert "No verified member of the family takes at most 0.500 ms" in page and "budget</text>" not in page


def test_a_damaged_tune_json_is_named(family_run):
    write_json(family_run.tuning_path, {"points": [{}], "metric": "wall"})
    with pytest.raises(RunFolderError, match="tune.json: damaged"):
        write_report(family_run)


def test_labels_of_a_chart_stand_inside():
    chart = mark_chart([Mark(1, 0, "<left>"), Mark(9, 1, "right", True)], "y", "x", limit=8)
    assert "&lt;left&gt;" in chart and chart.count("ring") == 1
    assert 'text-anchor="start">&lt;left' in chart and 'text-anchor="end">right' in chart
    assert mark_chart([], "y", "x", limit=1) == ""
