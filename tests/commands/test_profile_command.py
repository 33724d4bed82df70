"""`msnoah profile` from the command line: what is measured, and what bad input says."""

import json

import pytest

from msnoah.cli import main
from msnoah.config import RunConfig
from msnoah.deploy.runtimes.table import RUNTIMES
from msnoah.run_folder import RunFolder, write_json

CONFIG = {"model": {"name": "slab_deit_tiny"}, "data": {"source": "digits", "image_size": 8, "channels": 1,
                                                        "mean": [0.5], "std": [0.5]}, "train": {"epochs": 1}}
QUICK = ["--warmup", "0", "--repeats", "2", "--time-limit", "0"]


@pytest.fixture
def run(tmp_path):
    """A run without an artifact, whose export.json lists none."""
    run = RunFolder.create(tmp_path / "run", RunConfig.model_validate(CONFIG))
    write_json(run.export_path, {"model": "slab_deit_tiny", "artifacts": {}})
    return run


WRONG = {
    "an unknown runtime in a list": (["--runtime", "onnxruntime,onnxruntme"], "did you mean 'onnxruntime'?"),
    "an empty name in a list": (["--runtime", "onnxruntime,"], "unknown runtime ''"),
    "all beside an unknown one": (["--runtime", "all", "--precision", "fp64"], "precisions.0: "),
    "no interval": (["--interval", "0%"], "interval: "),
    "an interval without a sign": (["--interval", "2"], "'2' is not a percentage"),
    "a wide interval": (["--interval", "150%"], "interval: "),
    "negative time": (["--time-limit=-1"], "'-1' is not a duration"),
    "a time that is none": (["--time-limit", "soon"], "'soon' is not a duration"),
    "sustained for no time": (["--sustained", "0"], "--sustained 0: expected at least 1 s"),
    "sustained nonsense": (["--sustained", "five minutes"], "'five minutes' is not a duration"),
    "no threads": (["--threads", "1,0"], "threads.1: "),
    "no runs": (["--repeats", "0"], "repeats: "),
}


@pytest.mark.parametrize("arguments, words", WRONG.values(), ids=WRONG)
def test_bad_input_is_one_line_and_measures_nothing(arguments, words, run, capsys):
    assert main(["profile", str(run.path), *arguments]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and words in errors and errors.count("\n") == 1, errors
    assert run.profile_paths() == []


def test_nothing_to_measure_says_of_each_row_why(run, capsys):
    arguments = ["--runtime", "all", "--threads", "1,2", "--precision", "fp32,int8"]
    assert main(["profile", str(run.path), *arguments]) == 2
    errors = capsys.readouterr().err
    assert "onnxruntime, threads 1,2, batch 1: export.json lists no onnx artifact; `msnoah export` writes it" in errors
    assert "lists no onnx_int8 artifact; `msnoah quantize RUN --precision int8` writes it" in errors
    assert "mindspore, threads 1,2, batch 1, int8: export.json lists no mindir_int8 artifact; int8 is of ONNX" in errors
    assert "litert, threads 1,2, batch 1: export.json lists no onnx artifact" in errors and errors.count("\n") == 1
    assert all(name in errors for name in RUNTIMES)


TWO = [["--runtime", "onnxruntime,litert"], ["--runtime", "litert", "--runtime", "onnxruntime"]]


@pytest.mark.parametrize("given", TWO)
def test_lists_and_repeated_options_are_the_same(given, run, capsys):
    assert main(["profile", str(run.path), *given]) == 2
    errors = capsys.readouterr().err
    assert "onnxruntime, threads 1" in errors and "litert, threads 1" in errors and "mindspore" not in errors


def test_json_goes_to_stdout_and_rows_that_failed_to_stderr(tiny_onnx, capsys):
    assert main(["profile", str(tiny_onnx), "--runtime", "onnxruntime", "--threads", "1,2,1", *QUICK, "--json"]) == 0
    output, errors = capsys.readouterr()
    assert [(row["threads"], len(row["rounds"])) for row in json.loads(output)] == [(1, 1), (2, 1)]
    assert "not measured" not in errors


def test_a_file_has_the_precision_that_it_has(tiny_onnx, capsys):
    assert main(["profile", str(tiny_onnx), "--precision", "int8"]) == 2
    assert "--precision chooses among a run's artifacts" in capsys.readouterr().err


@pytest.fixture
def tiny_onnx(tmp_path):
    """y = relu(x), x (batch, 4)."""
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "tiny", ends[:1], ends[1:])
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
