"""The report from whatever a run folder holds."""

import math
import re

import numpy as np
import pytest

from msnoah.config import RunConfig
from msnoah.deploy.report import write_report
from msnoah.deploy.report.charts import Axis, Series, distribution_chart, line_chart
from msnoah.errors import ProfileError, RunFolderError
from msnoah.run_folder import RunFolder, write_json
from tests.deploy.page_checks import HOSTILE, read_page


def _read(run):
    page = read_page(write_report(run))
    assert "img" not in page.tags and page.addresses == ["data:,"]
    return page


def _add_history(run):
    train = [
        {
            "epoch": e,
            "phase": "train",
            "step": 10 * e,
            "lr": 1e-3 / e,
            "train_loss": 2.0 / e,
            "val_loss": 2.1 / e,
            "val_top1": 1 - 0.8 / e,
            "layer_norm_share": 1 / e,
            "seconds": 2.0,
            "cpu_seconds": 3.0,
            "images_per_s": 51.25,
            "decode_clips_per_s": 302.5,
            "data_wait": 0.125,
        }
        for e in (1, 2, 3)
    ]
    run.write_history([*train, {"epoch": 4, "phase": "bn_reestimation", "step": 30, "val_loss": 0.6, "val_top1": 0.8}])


def _add_evaluation(run, **changes):
    record = {"checkpoint": "best.ckpt", "top1": 0.912, "loss": 0.3, "majority_class_rate": 0.104, "images": 360,
              "per_class": [0.9, None], "classes": ["zero", HOSTILE]}
    write_json(run.evaluation_path, {**record, **changes})


def test_a_run_that_only_has_its_config(run):
    text = _read(run).text
    assert all(
        words in text
        for words in (
            "No epoch has been recorded",
            "Nothing has been exported",
            "Nothing has been profiled",
            "slab_deit_tiny",
        )
    )


def test_a_trained_run(run):
    _add_history(run)
    _add_evaluation(run)
    text = _read(run).text
    words = (
        "91.2%", "10.4%", "Loss", "Validation accuracy", "Share of LayerNorm", "re-estimation",
        "samples per second, last epoch51.25", "decoded per second of a thread, last epoch302.5",
        "waiting for data, last epoch12.5% of the time",
    )
    assert [word for word in words if word not in text] == []


def test_an_exported_run(exported_run):
    text = _read(exported_run).text
    assert (
        all(words in text for words in ("700 trained, 640 after fusing", "2.5e-07", "MatMul"))
        and "NOT VERIFIED" not in text
    )


def test_an_unverified_export_is_said_in_plain_words(exported_run, make_export_record):
    write_json(exported_run.export_path, make_export_record(exported_run.onnx_path, passed=False))
    text = _read(exported_run).text
    assert "NOT VERIFIED" in text and "Do not deploy" in text


def test_a_profiled_run_and_its_tables(exported_run, make_profile):
    for profile in (make_profile([1.0, 1.1, 9.0]), make_profile([2.0] * 3, runtime="mindspore", operators=[])):
        profile.save(exported_run.profiles_path / profile.file_name)
    text = _read(exported_run).text
    assert all(
        words in text
        for words in (
            "1.10",
            "Where the time goes",
            "MatMul",
            "Test chip",
            "not readable",
            "measured on another model.onnx",
        )
    )
    assert "| onnxruntime | local | 1 | 1 | float32 | 1.10 |" in (exported_run.path / "latency.md").read_text()
    assert (exported_run.path / "latency.csv").read_text().splitlines()[2].startswith("onnxruntime,local,1,1,float32,1.10,")


def test_hostile_names_are_escaped(exported_run, make_export_record, make_profile):
    record = make_export_record(exported_run.onnx_path, classes=[HOSTILE])
    record |= {"model": HOSTILE, "versions": {HOSTILE: HOSTILE}, "commit": HOSTILE}
    record["inputs"][0]["name"] = HOSTILE
    write_json(exported_run.export_path, record)
    _add_evaluation(exported_run, per_class=[0.5, 0.25])
    operators = [{"operator": HOSTILE, "count": 1, "ms": 1.0, "share": 1.0}]
    profile = make_profile(version=HOSTILE, notes=[HOSTILE], operators=operators)
    profile.save(exported_run.profiles_path / "p.json")
    assert _read(exported_run).text.count(HOSTILE) >= 6


def test_many_classes_show_the_lowest(run):
    _add_evaluation(run, per_class=[n / 100 for n in range(100)], classes=[f"class {n}" for n in range(100)])
    text = _read(run).text
    assert "the 20 lowest of 100" in text and "class 19" in text and "class 21" not in text


def _counts(classes):
    """Nine of ten right; class 0 is taken for class 1, every other one for class 0."""
    counts = 9 * np.eye(classes, dtype=int)
    counts[0, 1] = 1
    counts[1:, 0] = 1
    return counts


def _add_confusion(run, classes, **changes):
    counts = _counts(classes)
    names = [HOSTILE, *(f"class {n}" for n in range(1, classes))]
    record = {"confusion": counts.tolist(), "most_confused": [[0, 1, 1], [1, 0, 1]], "views": 1}
    record["predictions"] = [0] * 9 + [1]
    _add_evaluation(run, per_class=[0.9] * classes, classes=names, **record, **changes)


@pytest.mark.parametrize("classes", [2, 7, 30])
def test_a_confusion_matrix_shows_every_count_inside_its_frame(run, classes):
    _add_confusion(run, classes)
    page = _read(run)
    assert "Confusion matrix" in page.text and f"{HOSTILE} taken for {HOSTILE}: 9 of 10" in page.text
    svg = re.search(r'<svg class="heat".*?</svg>', run.report_path.read_text(), re.DOTALL).group()
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    cells = re.findall(r'<rect class="ground[^"]*" x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', svg)
    assert len(cells) == classes**2 and svg.count('class="ground right"') == classes
    x, y, w, h = np.array(cells, int).T
    assert min(x.min(), y.min()) >= 0 and (x + w).max() <= width and (y + h).max() <= height
    assert svg.count('fill-opacity="0.900"') == svg.count('fill-opacity="0.100"') == classes


def test_beyond_thirty_classes_stand_the_pairs_most_often_mixed_up(run):
    _add_confusion(run, 31)
    text = _read(run).text
    assert "Confusion matrix" not in text and "Classes most often mixed up" in text and text.count(HOSTILE) >= 2


@pytest.mark.parametrize("changes, words, style", [
    ({"predictions": [0] * 9 + [1]}, "10 of 10", "good-words"),
    ({"predictions": [0] * 10}, "9 of 10", "bad-words"),
    ({"predictions": [0] * 9}, "are not compared", None),
    ({"predictions": [0] * 9 + [1], "views": 30}, "are not compared", None),
])
def test_the_artifact_stands_beside_mindspore(run, changes, words, style):
    _add_confusion(run, 3)
    record = {"top1": 0.905, "images": 360, "checkpoint": "best.ckpt", "views": 1, "runtime": "onnxruntime"}
    write_json(run.onnx_evaluation_path, record | changes)
    text = _read(run).text
    assert words in text and "90.5%" in text and "ONNX Runtime" in text
    assert style is None or f'class="{style}">{words}<' in run.report_path.read_text()


def test_runs_on_videos_speak_of_clips(tmp_path):
    data = {"source": "camera_motion", "clip": {"frames": 4}}
    config = {"model": {"name": "squeezetime_r10"}, "data": data, "train": {"epochs": 1}}
    run = RunFolder.create(tmp_path / "clips", RunConfig.model_validate(config))
    _add_confusion(run, 3)
    text = _read(run).text
    assert "360 clips" in text and "images" not in text.split("Artifacts")[0]


@pytest.mark.parametrize("name, content, error, words", [
    ("evaluation_onnx.json", "[]", RunFolderError, "evaluation_onnx.json: holds a list"),
    ("evaluation.json", '{"top1": 0.5, "most_confused": [[7, 0, 1]]}', RunFolderError, "damaged"),
    ("export.json", "{", RunFolderError, "export.json:1: not JSON"),
    ("export.json", '{"artifacts": 3}', RunFolderError, "damaged"),
    ("export.json", '{"artifacts": {}}', RunFolderError, "damaged"),
    ("evaluation.json", '{"top1": 0.5, "per_class": 7}', RunFolderError, "damaged"),
    ("history.jsonl", '{"phase": "bn_reestimation"}\n', RunFolderError, "damaged"),
    ("profiles/p.json", "{}", ProfileError, "p.json:1"),
])
def test_damaged_files_cost_one_line_and_no_earlier_report(run, name, content, error, words):
    before = write_report(run).read_text()
    (run.path / name).write_text(content)
    with pytest.raises(error, match=words) as caught:
        write_report(run)
    assert "\n" not in str(caught.value) and run.report_path.read_text() == before


@pytest.mark.parametrize(
    "low, high, log, expected",
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1, 24, False, [5, 10, 15, 20]),
        (1.5, 60, True, [2, 5, 10, 20, 50]),
        (0, 4e-4, False, [0, 1e-4, 2e-4, 3e-4, 4e-4]),
    ],
)
def test_ticks_are_round(low, high, log, expected):
    assert Axis(low, high, log).ticks() == pytest.approx(expected)


@pytest.mark.parametrize("points", [[], [(1, None)], [(1, math.nan), (2, math.inf)]])
def test_a_chart_without_points_is_empty(points):
    assert line_chart([Series("a", points)], "epoch") == ""


@pytest.mark.parametrize(
    "chart",
    [
        line_chart([Series("<a>", [(1, 0.0)])], "epoch"),
        line_chart([Series("a", [(1, 3.0), (2, 3.0), (3, math.nan)])], "epoch"),
        distribution_chart({"a": [1.0], "b": [1.0, 500.0]}, "ms"),
        distribution_chart({"a": [2.0, 2.0]}, "ms"),
    ],
)
def test_charts_stay_inside_their_frame(chart):
    assert "nan" not in chart and "inf" not in chart and "<a>" not in chart
    pixels = [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", chart)]
    assert pixels and all(0 <= x <= 440 and 0 <= y <= 250 for x, y in pixels)
