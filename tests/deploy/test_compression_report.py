"""The report's section on compressed checkpoints: a chain's files, and what compressing costs."""

import pytest
from page_checks import HOSTILE, read_page

from msnoah.compression.chain import Chain
from msnoah.compression.measurement_summary import summarise_rows
from msnoah.compression.settings import PRESETS
from msnoah.deploy.report import write_report
from msnoah.deploy.report.bar_chart import bar_chart
from msnoah.deploy.report.charts import Mark
from msnoah.deploy.report.scatter import scatter_chart
from msnoah.errors import RunFolderError
from msnoah.run_folder import write_json
from tests.compression.training_states import make_states

TITLE = "Compressed checkpoints"


def make_row(step, kind, ratio, loss, top1):
    return {"step": step, "kind": kind, "file": "f", "ratio": ratio, "size_bytes": 1000, "plain_bytes": 1000 * ratio,
            "error": 0.25, "moment_error": 0.5, "compress_cpu_s": 0.001, "restore_cpu_s": 0.0005,
            "scores": {"loss": 0.5, "top1": 0.9}, "changes": {"loss": loss, "top1": top1}}


def make_record(**changes):
    preset = [make_row(25, "key", 1.2, 0.0, 0.0), make_row(50, "change", 31.0, -0.0123, 0.004),
              make_row(75, "change", 35.0, 0.0045, -0.006)]
    control = [make_row(step, "whole", 3.5, 0.0, 0.0) for step in (25, 50, 75)]
    codings = {"near_lossless": {"role": "preset", "settings": {}, "rows": preset, "summary": summarise_rows(preset)},
               "moments_dropped": {"role": "control", "compressor": "xz preset 9", "rows": control,
                                   "summary": summarise_rows(control)}}
    states = [{"step": step, "file": "f", "plain_bytes": 9, "scores": {"loss": 0.5, "top1": 0.9}}
              for step in (25, 50, 75)]
    return {"model": "m", "created": "now", "msnoah": "0.1.0", "commit": None, "chip": "EPYC", "cores": 2,
            "load_average": 1.5, "val_images": 2000, "key_frame_every": 5, "states": states, "codings": codings,
            **changes}


def page_of(run, record=None):
    if record:
        write_json(run.compression_path, record)
    return read_page(write_report(run)).text


def make_chain(run, count=5):
    run.chain_path.mkdir()
    chain = Chain(run.chain_path)
    for step, state in enumerate(make_states(count)):
        if step % 3:
            chain.append(1000 + step, state, PRESETS["balanced"], {})
        else:
            chain.append_key(1000 + step, state, {})
    return chain


def test_a_run_without_either_says_nothing(run):
    assert TITLE not in page_of(run)
    run.chain_path.mkdir()
    assert TITLE not in page_of(run)


def test_the_files_of_a_chain(run):
    chain = make_chain(run)
    text = page_of(run)
    for path in chain.paths():
        assert path.name in text
    assert text.count("key frame") == 3 and "do not restore" not in text   # two rows, and the legend
    assert "5 files in" in text and "What it costs" not in text


def test_a_damaged_file_is_told_with_what_needs_it(run):
    path = make_chain(run).paths()[1]
    path.write_bytes(path.read_bytes()[:-9])
    text = page_of(run)
    assert "2 of 5 files do not restore; the newest that does: step 1,004" in text
    assert "cut short in block" in text and text.count("NO") == 2


def test_a_chain_of_which_nothing_restores(run):
    for path in make_chain(run).paths():
        path.write_bytes(b"?" * 99)
    assert "5 of 5 files do not restore; none does." in page_of(run)


def test_what_was_measured(run):
    text = page_of(run, make_record())
    for words in (TITLE, "3 states by every coding", "near lossless", "33.0×", "31.0 to 35.0", "-0.0123 to +0.0045",
                  "0.0123", "-0.60 to +0.40", "0.60", "moments dropped (control)", "3.5×", "2,000 held-out samples",
                  "one file in 5", "change of top-1 (points)", "xz preset 9", "33.0", "EPYC"):
        assert words in text, words


def test_a_preset_of_key_frames_alone_leaves_gaps(run):
    record = make_record()
    coding = record["codings"]["near_lossless"]
    coding["rows"] = coding["rows"][:1]
    coding["summary"] = summarise_rows(coding["rows"])
    assert "near lossless" in page_of(run, record)


def test_names_of_a_record_are_escaped(run):
    record = make_record(chip=HOSTILE, model=HOSTILE)
    record["codings"][HOSTILE] = record["codings"].pop("near_lossless")
    assert HOSTILE in page_of(run, record)


@pytest.mark.parametrize("key", ["states", "codings", "chip", "val_images"])
def test_a_damaged_measurement_costs_one_line(run, key):
    record = make_record()
    del record[key]
    write_json(run.compression_path, record)
    with pytest.raises(RunFolderError, match="compression.json: damaged") as caught:
        write_report(run)
    assert "\n" not in str(caught.value)


def test_bars_stand_in_the_order_of_steps():
    chart = bar_chart({"key frame": {10: 4.0, 40: 3.0}, "change": {20: 1.0, 30: 0.0}}, "step", "MB")
    bars = chart.split('width="')[:-1]
    kinds = [part.rsplit('class="dot s', 1)[1][0] for part in bars if 'class="dot s' in part and 'x="7"' not in part]
    assert kinds[:4] == ["0", "1", "1", "0"]
    assert bar_chart({"a": {}}, "step", "MB") == ""
    assert bar_chart({"a": {1: 0.0}}, "step", "MB")   # no height at all


def test_marks_of_signed_numbers_have_room_below_zero():
    chart = scatter_chart({"a": [Mark(1, -0.01, ""), Mark(2, 0.01, "")]}, "x", "y", percent=False)
    assert ">-0.01<" in chart and ">0.01<" in chart
