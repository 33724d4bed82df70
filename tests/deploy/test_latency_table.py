"""The latency table as text, Markdown and CSV."""

import csv
import io

import pytest

from msnoah.deploy.latency_table import COLUMNS, format_csv, format_markdown, format_ms, format_size, latency_table
from msnoah.deploy.profiler import FailedRow, Profiles


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
    assert second.split() == ["mindspore", "1", "1", "250", "250", "250", "250", "4.00", "-", "2.5", "MB", "-", "yes"]


def test_warnings_and_failed_rows_stand_below(make_profile):
    failed = FailedRow("mindspore", 1, 1, "not installed")
    text = latency_table(Profiles([make_profile(verified=False)], [failed]))
    assert (
        "not verified" in text and text.splitlines()[-1] == "not measured: mindspore, threads 1, batch 1: not installed"
    )


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
