"""OpenVINO, MNN and ncnn: outputs of small artifacts, what conversions keep, converters that fail or are missing."""

import importlib.metadata
import os
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.runtimes import ncnn, ncnn_conversion
from msnoah.deploy.runtimes.conversion import Converter
from msnoah.deploy.runtimes.fixed_graph import read_at_batch
from msnoah.deploy.runtimes.table import find_runtime
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import MsnoahError, ProfileError, RuntimeUnavailableError

GATE = 2e-6  # relative: float32 sums of up to 32 products in another order, and other approximations of exp and erf


def require(name: str):
    """The runtime, or a skip with the line that says how to get it."""
    runtime = find_runtime(name)
    try:
        runtime.version()
        if name == "ncnn":
            ncnn.PNNX.installed_version()
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))
    return runtime


def build(nodes, constants, shape, result):
    """A graph x -> y at opset 17 whose batch is free."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *result])
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    nodes = [helper.make_node(kind, ins.split(), [out], name=out, **attributes) for kind, ins, out, attributes in nodes]
    graph = helper.make_graph(nodes, "small", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def gelu():
    """Exact, in the order that MNN would approximate; a weight goes before, since pnnx takes no graph without one."""
    nodes = [("MatMul", "x w", "h", {}), ("Div", "h root", "a", {}), ("Erf", "a", "b", {}), ("Add", "b one", "c", {}),
             ("Mul", "h c", "d", {}), ("Mul", "d half", "y", {})]
    numbers = {"root": np.float32(2 ** 0.5), "one": np.float32(1), "half": np.float32(0.5)}
    return build(nodes, {"w": 3 * np.eye(32, dtype=np.float32), **numbers}, [7, 32], [7, 32])


def tokens():
    """What stands around tokens, each spelled as converters get it wrong: a constant repeated by the size of the batch,
    sums whose axes are an input, one row gathered as a matrix and then as a vector, both into products."""
    nodes = [("MatMul", "x w", "h", {}), ("Shape", "x", "n", {"start": 0, "end": 1}),
             ("Concat", "n ones", "times", {"axis": 0}), ("Tile", "token times", "t", {}),
             ("Concat", "t h", "c", {"axis": 1}), ("ReduceSum", "c last", "s", {}), ("Div", "c s", "d", {}),
             ("ReduceSum", "d middle", "e", {}), ("Mul", "d e", "f", {}),
             ("Gather", "f rows", "r", {"axis": 1}), ("MatMul", "r v", "p", {}), ("Gather", "p row", "q", {"axis": 1}),
             ("MatMul", "q v", "y", {})]
    weights = np.random.default_rng(0).uniform(0, 1, (2, 32, 32)).astype(np.float32)
    integers = {"ones": [1, 1], "last": [2], "middle": [1], "rows": [3], "row": -1}
    constants = {name: np.array(numbers, np.int64) for name, numbers in integers.items()}
    token = np.arange(32, dtype=np.float32).reshape(1, 1, 32)
    return build(nodes, {"w": weights[0], "v": weights[1], "token": token, **constants}, [7, 32], [32])


GRAPHS = {"gelu": gelu, "tokens": tokens}


def plant_pip(folder):
    """A pip that leaves a trace: MNN's own command installs packages and sends what was converted to a server."""
    program = folder / "bin" / "pip"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {folder}/pip-was-called\n")
    program.chmod(0o755)
    return program.parent


def run(name, path, batch, folder, monkeypatch):
    """Outputs of a runtime and of ONNX Runtime on the same seeded input."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(plant_pip(folder)), prepend=os.pathsep)
    runtime = require(name)
    session = runtime.load(runtime.convert(open_artifact(path), batch), 1)
    shape = session.inputs[0].shape
    assert shape[0] == batch
    x = np.random.default_rng(1).uniform(0.5, 1.5, shape).astype(np.float32)
    return session.run([x]), onnxruntime.InferenceSession(str(path)).run(None, {"x": x})


@pytest.mark.parametrize("name", ["openvino", "mnn", "ncnn"])
@pytest.mark.parametrize("graph, batch", [
    ("gelu", 1), ("tokens", 1), pytest.param("gelu", 3, marks=pytest.mark.slow),
])
def test_outputs_are_those_of_onnx_runtime(name, graph, batch, tmp_path, monkeypatch):
    onnx.save(GRAPHS[graph](), tmp_path / "small.onnx")
    [found], [expected] = run(name, tmp_path / "small.onnx", batch, tmp_path, monkeypatch)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= GATE * np.abs(expected).max()
    assert not (tmp_path / "pip-was-called").exists()


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_fixed_graph_computes_the_same(graph, tmp_path):
    path = tmp_path / "small.onnx"
    onnx.save(GRAPHS[graph](), path)
    fixed = read_at_batch(path, 2)
    for rewrite in (ncnn_conversion.slice_single_rows, ncnn_conversion.average_for_sums):
        rewrite(fixed)
    model, x = fixed.to_model(), np.random.default_rng(1).uniform(0.5, 1.5, (2, 7, 32)).astype(np.float32)
    onnx.checker.check_model(model, full_check=True)
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"Gather", "ReduceSum", "Shape", "Tile"}
    [found] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    [expected] = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    assert np.abs(found - expected).max() <= GATE * np.abs(expected).max()


def test_ncnn_names_the_layers_that_it_lacks(tmp_path, monkeypatch):
    nodes = [("MatMul", "x w", "h", {}), ("Greater", "h zero", "g", {}), ("Cast", "g", "y", {"to": TensorProto.FLOAT})]
    model = build(nodes, {"w": np.eye(32, dtype=np.float32), "zero": np.float32(0)}, [7, 32], [7, 32])
    onnx.save(model, tmp_path / "small.onnx")
    with pytest.raises(ProfileError, match=r"ncnn has no layers torch.gt \(1\), Tensor.to \(1\)"):
        run("ncnn", tmp_path / "small.onnx", 1, tmp_path, monkeypatch)


def test_ncnn_points_at_the_form_of_merging_that_it_runs(tmp_path):
    model = build([("GatherElements", "x places", "y", {"axis": 2})], {"places": np.zeros((1, 7, 32), np.int64)},
                  [7, 32], [7, 32])
    onnx.save(model, tmp_path / "small.onnx")
    with pytest.raises(SystemExit, match=r"^ncnn has no GatherElements; .*--token-merging matrix"):
        ncnn_conversion.main(str(tmp_path / "small.onnx"), str(tmp_path), "1")


CONVERTERS = {
    "crash": ("import os, signal\nprint('reading', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)",
              r"^fake's converter died of signal 11 \(SIGSEGV\): reading$"),
    "hang": ("import time\nprint('optimising', flush=True)\ntime.sleep(60)",
             r"^fake's converter was ended after 2 s: optimising$"),
    "refusal": ("raise ValueError('no such operator')",
                "^fake's converter ended with exit code 1: ValueError: no such operator$"),
    "nothing": ("print('done')", "^fake's converter made no interface.json: done$"),
}


@pytest.mark.parametrize("fault", CONVERTERS)
def test_a_converter_that_fails_is_one_line(fault, onnx_path, tmp_path, monkeypatch):
    source, words = CONVERTERS[fault]
    (tmp_path / "fake_conversion.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    converter = Converter("fake", "fake_conversion", "1", ("model.fake",), limit_s=2 if fault == "hang" else 30)
    with pytest.raises(ProfileError, match=words):
        converter.convert(open_artifact(onnx_path), 1)


def test_a_run_keeps_what_was_converted_and_other_circumstances_convert_anew(onnx_path, tmp_path, monkeypatch):
    (tmp_path / "fake_conversion.py").write_text("\n".join([
        "import pathlib, sys", "for name in ('interface.json', 'model.fake', 'litter'):",
        "    pathlib.Path(sys.argv[2], name).write_text(sys.argv[3])"]))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    artifact = replace(open_artifact(onnx_path), verified=True)
    first, again = (Converter("fake", "fake_conversion", "1", ("model.fake",)).convert(artifact, 1) for _ in range(2))
    newer = Converter("fake", "fake_conversion", "2", ("model.fake",)).convert(artifact, 1)
    larger = Converter("fake", "fake_conversion", "1", ("model.fake",)).convert(artifact, 2)
    assert first.path == again.path and len({first.path, newer.path, larger.path}) == 3
    assert first.path.parent == onnx_path.parent / "profiles" / "converted"
    assert sorted(path.name for path in larger.path.iterdir()) == ["interface.json", "model.fake"]
    assert len(list(first.path.parent.iterdir())) == 3   # no working folders are left behind


@pytest.mark.parametrize("runtime, hidden, words", [
    ("mnn", "MNN", "pip install MNN"), ("ncnn", "ncnn", "pip install (ncnn|--no-deps pnnx)"),   # pnnx is needed first
])
def test_what_is_missing_says_how_to_get_it(runtime, hidden, words, onnx_path, tmp_path, monkeypatch):
    (tmp_path / f"{hidden}.py").write_text("raise ImportError('hidden by the test')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with WorkerProcess() as worker, pytest.raises(ProfileError, match=words):
        worker.start(runtime, open_artifact(onnx_path), 1, 1)


def test_without_pnnx_the_line_says_why_to_leave_its_dependencies_out(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(MsnoahError, match="pip install --no-deps pnnx.*torch"):
        ncnn.PNNX.installed_version()


@pytest.fixture(scope="module")
def merging(tmp_path_factory):
    """The matrix form of merging as an artifact, inputs, and MindSpore's outputs."""
    from mindspore import Tensor

    from msnoah.export import export_onnx
    from msnoah.nn.token_merging import TokenMerging

    generator = np.random.default_rng(0)
    x, metric = (generator.standard_normal((1, 13, width)).astype(np.float32) for width in (16, 8))
    feeds = [x, generator.integers(1, 9, (1, 13, 1)).astype(np.float32), metric]
    path = tmp_path_factory.mktemp("merging") / "merging.onnx"
    onnx.save(export_onnx(TokenMerging(3), *feeds, dynamic=()), path)
    return path, feeds, [output.asnumpy() for output in TokenMerging(3)(*map(Tensor, feeds))]


@pytest.mark.parametrize("name", ["openvino", "mnn", "ncnn"])
def test_merging_of_tokens_is_mindspores(name, merging, tmp_path, monkeypatch):
    """Where it compares, counts or gathers otherwise, the matrix form is arithmetic: ncnn would refuse the rest."""
    path, feeds, expected = merging
    monkeypatch.chdir(tmp_path)
    runtime = require(name)
    found = runtime.load(runtime.convert(open_artifact(path), 1), 1).run(feeds)
    for output, merged in zip(found, expected, strict=True):
        assert output.shape == merged.shape
        assert np.abs(output - merged).max() <= GATE * np.abs(merged).max()
