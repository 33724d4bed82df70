"""`msnoah profile --operators` from the command line, and the pass behind it where something is missing."""

import json

import pytest

from msnoah.cli import main
from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.calibration import Bandwidth, Peaks
from msnoah.deploy.npu.facts import read_facts
from msnoah.deploy.operator_pass import OperatorPass, with_counted_names
from msnoah.deploy.rows import Row
from msnoah.deploy.runtimes.base import OperatorTime
from msnoah.errors import ProfileError

QUICK = ("--repeats", "3", "--warmup", "1", "--runtime", "onnxruntime")


def test_the_command_prints_tables_and_the_record_has_nodes_and_peaks(onnx_path, capsys):
    main(["profile", str(onnx_path), "--operators", *QUICK])
    text = capsys.readouterr().out
    assert "by kind of operator" in text and "measured peaks of 1 core" in text and "a bound and no measurement" in text


def test_without_it_there_are_nodes_and_no_peaks(onnx_path, capsys):
    main(["profile", str(onnx_path), "--json", *QUICK])
    [record] = json.loads(capsys.readouterr().out)
    assert record["peaks"] is None
    assert [(row["node"], row["macs"], row["bytes"]) for row in record["operators"]] == [
        ("first", 16 * 32, 4 * (16 + 16 * 32 + 32)), ("relu", 0, 4 * 64), ("second", 32 * 4, 4 * (32 + 32 * 4 + 4))]


class Scripted:
    """A worker whose profiler and calibration are scripted."""

    def __init__(self, rows, peaks=None):
        self.rows, self.found, self.asked = rows, peaks, 0

    def operators(self, runs):
        return self.rows

    def peaks(self, threads):
        self.asked += 1
        if self.found is None:
            raise ProfileError("AttributeError: 'Worker' object has no attribute 'peaks'")
        return self.found


PEAKS = Peaks(1, 1, 100.0, 0.05, (Bandwidth(10**6, 50.0, 0.1),))
NODE = OperatorTime("MatMul", 1, 1.0, 1.0, "first", ("h",))
SUM = OperatorTime("MatMul", 2, 1.0, 1.0)

# rows of a runtime, whether its worker measures peaks: module, whether the row has peaks, words of the notes
PASSES = {
    "all": ([NODE], PEAKS, "", True, []),
    "no_calibration": ([NODE], None, "", False, ["no peaks, so no roofline: AttributeError"]),
    "sums": ([SUM], PEAKS, None, False, []),
    "nothing": ([], PEAKS, None, False, []),
}


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_takes_what_there_is_and_notes_the_rest(name, onnx_path):
    rows, peaks, module, measured, notes = PASSES[name]
    row = Row("onnxruntime", 1, open_artifact(onnx_path), worker=Scripted(rows, peaks))
    OperatorPass(5, 1, peaks=True).take(row)
    assert (row.peaks is not None) == measured and len(row.operators) == len(rows)
    assert [one.module for one in row.operators] == [module] * len(rows)
    assert row.notes == [] and len(row.operator_notes) == len(notes)
    assert all(words in note for words, note in zip(notes, row.operator_notes))


def test_peaks_are_measured_once_a_device_and_thread_count(onnx_path):
    worker, taken = Scripted([NODE], PEAKS), OperatorPass(5, 1, peaks=True)
    for threads, device in ((1, "local"), (1, "local"), (2, "local"), (1, "board")):
        taken.take(Row("onnxruntime", threads, open_artifact(onnx_path), device_name=device, worker=worker))
    assert worker.asked == 3


def test_a_graph_that_cannot_be_read_leaves_times_without_modules(onnx_path):
    artifact = open_artifact(onnx_path)
    onnx_path.write_bytes(b"no graph")
    row = Row("onnxruntime", 1, artifact, worker=Scripted([NODE]))
    OperatorPass(5, 1).take(row)
    assert row.operators == [NODE] and row.operator_notes[0].startswith("operators without modules: ")


def test_numbers_for_names_count_only_where_all_of_a_kind_ran(onnx_path):
    from dataclasses import replace

    graph = replace(read_facts(onnx_path), opset=0)   # as of a MindIR: two MatMul, one Relu
    rows = [OperatorTime(kind, 1, 1.0, 0.2, "n", (f"{kind}-op{number}",))
            for kind, number in (("MatMul", 0), ("MatMul", 1), ("Relu", 0), ("Relu", 1), ("Cast", 0))]
    assert [row.sources for row in with_counted_names(rows, graph)] == [("MatMul-op0",), ("MatMul-op1",), (), (), ()]
    assert with_counted_names(rows, replace(graph, opset=17)) == rows
