"""The latency table as text, Markdown and CSV."""

import csv
import io

import pytest

from msnoah.deploy.latency_table import (
    COLUMNS,
    SELDOM,
    format_csv,
    format_markdown,
    format_ms,
    format_size,
    gather_warnings,
    latency_table,
    table_cells,
)
from msnoah.deploy.rows import FailedRow, Profiles


@pytest.mark.parametrize(
    "value, text",
    [(128.4, "128"), (1234.5, "1234"), (3.14159, "3.14"), (12.0, "12.0"), (0.04125, "0.0413"), (0.0, "0.0000")],
)
def test_milliseconds(value, text):
    assert format_ms(value) == text


@pytest.mark.parametrize("value, text", [(812, "812 B"), (22_300_000, "22.3 MB"), (1500, "1.5 kB"), (3e9, "3 GB")])
def test_sizes(value, text):
    assert format_size(value) == text


def test_text_is_aligned_and_complete(make_profile):
    rows = [make_profile([3.0] * 10), make_profile([250.0] * 10, runtime="mindspore", parity=None, peak_memory_mb=None)]
    header, first, second = latency_table(rows).splitlines()
    assert len(header) == len(first) == len(second)
    cells = ["mindspore", "1", "1", "float32", *["250"] * 5, "4.00", "-", "2.5", "MB", "-", "yes"]
    assert second.split() == cells and "mJ a run" not in header


def test_columns_that_some_machines_lack_stand_in_the_text_where_one_row_has_them(make_profile):
    rounds = [{"start_s": float(n), "runs": 10, "reference_ms": 1.0 if n < 6 else 1.5} for n in range(8)]
    rows = [make_profile([3.0] * 60 + [9.0] * 20, rounds=rounds, energy_j=0.25), make_profile(device_name="board")]
    cells = dict(zip([column.title for column in COLUMNS], table_cells(rows)[0]))
    assert (cells["calm p50 CPU ms"], cells["calm rounds"], cells["interval"], cells["mJ a run"]) == (
        "3.00", "6/8", "0.0%", "250")
    assert all(title in latency_table(rows) for title in SELDOM)


def test_warnings_stand_below_and_rows_that_fail_alike_are_one_line(make_profile):
    failed = [FailedRow("litert", threads, 1, "not installed", precision)
              for threads in (2, 1) for precision in ("fp32", "int8")]
    profiles = Profiles([make_profile(verified=False)], [*failed, FailedRow("mnn", 1, 1, "crashed")])
    assert "not verified" in latency_table(profiles).splitlines()[-1]
    assert profiles.describe_failures() == [
        "litert, threads 1,2, batch 1, fp32,int8: not installed", "mnn, threads 1, batch 1: crashed"]


def test_what_holds_for_several_rows_is_said_once(make_profile):
    own, shared = make_profile(verified=False, notes=["a"]), make_profile(threads=2, verified=False)
    assert gather_warnings([own, shared]) == [
        "all rows: this artifact is not verified: its outputs may differ from the model's",
        "onnxruntime, 1 thread, batch 1: a"]
    two = gather_warnings([own, make_profile(threads=2, notes=["a"]), make_profile(threads=4)])
    assert two[1] == "onnxruntime, 1 thread, batch 1; onnxruntime, 2 threads, batch 1: a"
    assert gather_warnings([own])[1] == "onnxruntime, 1 thread, batch 1: a"


def test_csv_and_markdown_have_the_same_rows(make_profile):
    profiles = [make_profile(runtime="a,b|c", parity=None)]
    [header, row] = csv.reader(io.StringIO(format_csv(profiles)))
    assert header == [column.title for column in COLUMNS] and row[0] == "a,b|c" and row[header.index("parity")] == ""
    assert "a,b\\|c" in format_markdown(profiles)
    assert {line.replace("\\|", "").count("|") for line in format_markdown(profiles).splitlines()} == {len(COLUMNS) + 1}


@pytest.mark.parametrize("max_rel, cell", [(5e-3, "5.0e-03"), (0.14, "1.4e-01 WRONG"), (float("inf"), "inf WRONG")])
def test_a_runtime_that_computes_something_else_is_marked(max_rel, cell, make_profile):
    profile = make_profile(parity={"against": "mindspore", "max_rel": max_rel})
    [row] = csv.DictReader(io.StringIO(format_csv([profile])))
    assert row["parity"] == cell
