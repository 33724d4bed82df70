"""The page that compares runs, runtimes and devices."""

import csv
import re
import shutil
import subprocess

import pytest

from msnoah.deploy.report import write_comparison
from msnoah.deploy.report.charts import Mark
from msnoah.deploy.report.entries import gather_entries
from msnoah.deploy.report.run_comparison import gather_comparison
from msnoah.deploy.report.scatter import scatter_chart
from msnoah.errors import ProfileError, RunFolderError
from msnoah.run_folder import RunFolder, write_json
from tests.deploy.conftest import CONFIG
from tests.deploy.page_checks import read_page

HOSTILE = '"><script>alert(1)</script>&'
OPERATORS = [{"operator": kind, "count": 1, "ms": ms, "share": 0.1} for kind, ms in
             zip(["MatMul", "Add", "Erf", "Mul", "Conv", "Softmax", HOSTILE], [3, 2, 1, 0.5, 0.4, 0.3, 0.2])]


@pytest.fixture
def runs(tmp_path, make_profile, make_device, make_export_record, onnx_path):
    """Two runs: one on two devices and in int8 too, with accuracies of both precisions; one without any accuracy."""
    from msnoah.config import RunConfig

    first, second = (RunFolder.create(tmp_path / name, RunConfig.model_validate(CONFIG)) for name in ("fast", "slow"))
    record = make_export_record(onnx_path)
    record["artifacts"]["onnx_int8"] = {"file": "model_int8.onnx", "sha256": "cd" * 32, "accuracy": {"top1": 0.87}}
    write_json(first.export_path, record)
    write_json(first.onnx_evaluation_path, {"top1": 0.91})
    board = make_device(chip="Cortex-A76", architecture="aarch64")
    rows = [make_profile(operators=OPERATORS), make_profile([0.6] * 20, precision="int8", sha256="cd" * 32),
            make_profile([9.0] * 20, device=board, device_name="board", runtime="ncnn", peak_memory_mb=None)]
    for row in rows:
        row.save(first.profiles_path / row.file_name)
    other = make_profile([2.0] * 20, parity={"against": "mindspore", "max_rel": 0.5})
    other.save(second.profiles_path / other.file_name)
    return [first, second]


def test_every_row_stands_beside_its_accuracy(runs):
    entries = gather_entries(runs)
    found = {entry.label: entry.score and (entry.score.measure, entry.score.value) for entry in entries}
    assert found == {
        "fast: onnxruntime, 1 thread, batch 1": ("top-1", 0.91),
        "fast: onnxruntime, 1 thread, batch 1, int8": ("top-1", 0.87),
        "fast: ncnn, 1 thread, batch 1 on board": ("top-1", 0.91),
        "slow: onnxruntime, 1 thread, batch 1": None,
    }


def test_the_page_and_its_tables(runs, tmp_path):
    path = write_comparison(runs, tmp_path / "out.html")
    page = read_page(path)
    for words in ("fast, slow", "Cortex-A76", "5.0e-01 WRONG", "top-1 (%) over latency on board", "87.00% top-1",
                  "computes something else", "others"):
        assert words in page.text
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["device"], row["accuracy"]) for row in rows] == [
        ("fast", "board", "91.00% top-1"), ("fast", "local", "87.00% top-1"), ("fast", "local", "91.00% top-1"),
        ("slow", "local", "")]
    assert len((tmp_path / "out.md").read_text(encoding="utf-8").splitlines()) == 2 + len(rows)


def test_lengths_of_operators_are_shares_of_the_longest_row(runs):
    rows = gather_comparison(gather_entries(runs))["operators"]["rows"]
    row = next(row for row in rows if len(row["parts"]) > 1)
    found = {part["kind"]: part["ms"] for part in row["parts"]}
    assert found == {"convolutions": "0.400", "matrix products": "3.00", "element by element": "3.50",
                     "sums, norms and softmax": "0.300", "others": "0.200"}
    assert sum(part["share"] for part in row["parts"]) == pytest.approx(1)
    assert [len(row["parts"]) for row in rows].count(1) == 3   # the other rows have MatMul alone


def test_runs_of_one_name_are_told_apart_by_their_paths(runs, tmp_path):
    twin = tmp_path / "copies" / "fast"
    shutil.copytree(runs[0].path, twin)
    assert {entry.run for entry in gather_entries([runs[0], RunFolder.open(twin)])} == {str(runs[0].path), str(twin)}


@pytest.mark.parametrize("fault, error, words", [
    ("unprofiled", ProfileError, "no profiles yet; `msnoah profile"),
    ("suffix", ProfileError, "out.pdf: expected a name that ends in .html"),
    ("damaged", RunFolderError, "evaluation_onnx.json:1: not JSON"),
    ("unwritable", RunFolderError, "cannot be written"),
])
def test_what_cannot_be_compared_says_why(fault, error, words, runs, tmp_path):
    path = tmp_path / {"suffix": "out.pdf", "unwritable": "nowhere/out.html"}.get(fault, "out.html")
    if fault == "unprofiled":
        shutil.rmtree(runs[1].profiles_path)
    if fault == "damaged":
        runs[0].onnx_evaluation_path.write_text("{")
    with pytest.raises(error, match=re.escape(words)):
        write_comparison(runs, path)


@pytest.mark.parametrize("xs, logarithmic", [([1, 2, 3], False), ([1, 50], True), ([4], False), ([0, 50], False)])
def test_a_wide_range_of_latencies_is_logarithmic(xs, logarithmic):
    chart = scatter_chart({"a": [Mark(x, 90, "m") for x in xs]}, "ms", "top-1")
    assert ("translate(" in chart) and chart.count("<g ") == len(xs)
    assert (">20</text>" in chart and ">10</text>" in chart and ">30</text>" not in chart) == logarithmic
    assert scatter_chart({}, "ms", "top-1") == ""


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium to render the page")
def test_a_browser_without_a_network_shows_the_page(runs, tmp_path):
    path, picture = write_comparison(runs, tmp_path / "out.html"), tmp_path / "page.png"
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
               "--window-size=1500,2200", f"--user-data-dir={tmp_path / 'user'}", "--enable-logging=stderr", "--v=0",
               f"--screenshot={picture}", path.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert picture.stat().st_size > 20_000, ended.stderr[-500:]   # an empty page of this size takes under 10 kB
    assert "ERR_" not in ended.stderr and "CONSOLE" not in ended.stderr
