"""MindSpore Lite: its spellings, its worker and converter (of a planted package), parity with the real one."""

import ast
import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from msnoah.cli import main
from msnoah.config import ProfileConfig
from msnoah.deploy import environments
from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.device import read_device
from msnoah.deploy.environments.table import MINDSPORE_LITE
from msnoah.deploy.measurement import largest_relative_difference
from msnoah.deploy.profiler import profile_artifact
from msnoah.deploy.runtimes import mindspore_lite_conversion
from msnoah.deploy.runtimes.conversion import Converter
from msnoah.deploy.runtimes.fixed_graph import read_at_batch
from msnoah.deploy.runtimes.mindspore_lite_conversion import SPELLINGS
from msnoah.deploy.runtimes.table import find_runtime
from msnoah.deploy.side_worker import open_worker
from msnoah.errors import ProfileError, RuntimeUnavailableError
from tests.deploy.planted_environment import plant
from tests.deploy.real_environment import provide

GATE = 1e-6  # relative: float32 in another order
LITE_GATE = 5e-5  # MindSpore Lite's exp is 1e-6 off, its softmax as well; one of another operator would be 1e-3
SCRIPTS = [Path(environments.__file__).with_name(name) for name in (
    "mindspore_lite_worker.py", "mindspore_lite_converter.py", "onnx2tf_converter.py")]
WEIGHTS = np.random.default_rng(0).standard_normal((2, 8, 8)).astype(np.float32)


def build(nodes, constants, inputs, outputs):
    """A graph at opset 17; inputs {name: (type, shape)}, whose outputs are float or what `outputs` says."""
    tensors = [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()]
    results = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    nodes = [helper.make_node(kind, ins.split(), outs.split(), name=outs.split()[0], **attributes)
             for kind, ins, outs, attributes in nodes]
    graph = helper.make_graph(nodes, "small", tensors, results, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


X = {"x": (TensorProto.FLOAT, ["batch", 5, 8])}
Y = {"y": TensorProto.FLOAT}
ROW = np.array([2e-38, -2e-38, 0, -0.0, 2, -3, np.inf, -np.inf], np.float32)   # smaller numbers are zeros to Lite

# name -> graph, operators that are gone afterwards
GRAPHS = {
    "sum of three": (lambda: build([("Sum", "x x w", "y", {})], {"w": WEIGHTS[0, :5]}, X, Y), {"Sum"}),
    "sum of one": (lambda: build([("Sum", "x", "y", {})], {}, X, Y), {"Sum"}),
    "sign": (lambda: build([("Mul", "x zero", "z", {}), ("Add", "z row", "s", {}), ("Sign", "s", "y", {})],
                           {"zero": np.float32(0), "row": ROW}, X, Y), {"Sign"}),
    "gather of each image": (lambda: build([("GatherND", "x i", "y", {"batch_dims": 1})],
                                           {"i": np.array([[[3], [1]], [[0], [4]]])}, X, Y), set()),
    "smallest": (lambda: build([("TopK", "x k", "y i", {"axis": 1, "largest": 0})], {"k": np.array([3])}, X, Y), set()),
    "smallest, places alone": (
        lambda: build([("TopK", "x k", "v i", {"largest": 0}), ("Cast", "i", "y", {"to": TensorProto.FLOAT})],
                      {"k": np.array([8])}, X, Y), set()),
    "layer norm": (lambda: build([("LayerNormalization", "x g b", "y", {"epsilon": 1e-2})],
                                 {"g": WEIGHTS[0, 0], "b": WEIGHTS[0, 1]}, X, Y), {"LayerNormalization"}),
    "layer norm without bias": (lambda: build([("LayerNormalization", "x g", "y", {"axis": 2})],
                                              {"g": WEIGHTS[0, 0]}, X, Y), {"LayerNormalization"}),
    "layer norm of two axes": (lambda: build([("LayerNormalization", "x g", "y", {"axis": 1})],
                                             {"g": WEIGHTS[0, :5]}, X, Y), set()),
    "bare convolution": (lambda: build([("Conv", "x w", "y", {})], {"w": WEIGHTS[:, :5, :3]}, X, Y), set()),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_spelled_graphs_compute_the_same(name, tmp_path):
    make, gone = GRAPHS[name]
    path = tmp_path / "small.onnx"
    onnx.save(make(), path)
    graph = read_at_batch(path, 2)
    for spell in SPELLINGS:
        spell(graph)
    model, x = graph.to_model(), np.random.default_rng(1).standard_normal((2, 5, 8)).astype(np.float32)
    onnx.checker.check_model(model, full_check=True)
    assert not gone & {node.op_type for node in model.graph.node}
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    assert largest_relative_difference(found, expected) <= GATE


@pytest.mark.parametrize("name, kind, expected", [
    ("gather of each image", "GatherND", {}),
    ("smallest", "TopK", {"axis": 1, "largest": 1}),
    ("bare convolution", "Conv", {"kernel_shape": [3], "strides": [1], "dilations": [1]}),
])
def test_spelled_operators_say_what_lite_needs(name, kind, expected, tmp_path):
    onnx.save(GRAPHS[name][0](), tmp_path / "small.onnx")
    graph = read_at_batch(tmp_path / "small.onnx", 2)
    for spell in SPELLINGS:
        spell(graph)
    [operator] = [operator for operator in graph.operators if operator.op_type == kind]
    assert operator.attributes == expected


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_are_of_python_3_7_and_import_nothing_of_msnoah(script):
    tree = ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 7))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) <= {"numpy", "mindspore_lite", "onnx2tf", "tensorflow"}


FAKE = '''
"""Stands for MindSpore Lite: computes by ONNX Runtime, keeps names and not the order, fails as FAULT says."""
import enum, os, shutil, signal, sys, time
import numpy as np, onnxruntime

__version__ = "2.0.0"
FAULT = {fault!r}
DataType = enum.Enum("DataType", "FLOAT32 INT32 INT64")
Format, FmkType = enum.Enum("Format", "NCHW"), enum.Enum("FmkType", "ONNX")
ModelType = enum.Enum("ModelType", "MINDIR_LITE")

def act(place):
    print("noise on standard output")
    if FAULT == "segfault in " + place:
        os.kill(os.getpid(), signal.SIGSEGV)
    if FAULT == "hang in " + place:
        time.sleep(60)
    if FAULT == "refusal in " + place:
        raise RuntimeError(place + " failed! Error is Common error code.\\nmore")

class Converter:
    def convert(self, framework, source, target):
        act("convert")
        if FAULT.startswith("log:"):
            os.write(2, FAULT[4:].encode())
            raise RuntimeError("Converter model failed!")
        assert self.input_format is Format.NCHW
        shutil.copy(source, target + ".ms")

class Context:
    class cpu: pass

class Tensor:
    def __init__(self, name, dtype, data=None):
        self.name, self.dtype, self.data = name, dtype, data
    def set_data_from_numpy(self, data): self.data = data
    def get_data_to_numpy(self): return self.data

class Model:
    def build_from_file(self, path, kind, context):
        act("build")
        assert context.cpu.precision_mode == "enforce_fp32" and context.cpu.thread_num == 1
        self.session = onnxruntime.InferenceSession(path)
    def get_inputs(self):
        kinds = {{"tensor(float)": DataType.FLOAT32, "tensor(int64)": DataType.INT32}}
        return [Tensor(place.name, kinds[place.type]) for place in reversed(self.session.get_inputs())]
    def predict(self, tensors):
        act("predict")
        wide = {{"int32": np.int64}}
        feeds = {{one.name: one.data.astype(wide.get(one.data.dtype.name, one.data.dtype)) for one in tensors}}
        names = [place.name for place in self.session.get_outputs()]
        found = [Tensor(*pair) for pair in zip(names, [None] * 9, self.session.run(names, feeds))]
        return found[::-1]
'''


@pytest.fixture
def fake_lite(tmp_path, monkeypatch):
    """A function that plants MindSpore Lite with a fault."""
    monkeypatch.setenv("MSNOAH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda fault="none": plant(MINDSPORE_LITE, {"mindspore_lite": FAKE.format(fault=fault)}, tmp_path)


@pytest.fixture
def two_inputs(tmp_path):
    """x float32, n int64 -> two outputs."""
    nodes = [("Cast", "n", "f", {"to": TensorProto.FLOAT}), ("MatMul", "x w", "h", {}), ("Add", "h f", "b", {}),
             ("ReduceMax", "h", "a", {"axes": [2]})]
    inputs = {**X, "n": (TensorProto.INT64, ["batch", 5, 1])}
    path = tmp_path / "two.onnx"
    onnx.save(build(nodes, {"w": WEIGHTS[0]}, inputs, {"b": TensorProto.FLOAT, "a": TensorProto.FLOAT}), path)
    return path


def test_it_is_converted_here_and_measured_there(fake_lite, two_inputs):
    fake_lite()
    x, n = WEIGHTS[:, :5], np.arange(10).reshape(2, 5, 1)
    with open_worker("mindspore-lite") as worker:
        converted = worker.convert("mindspore-lite", open_artifact(two_inputs), 2)
        loaded = worker.load("mindspore-lite", converted, 1, 2)
        assert worker.feed([x, n]) > 0
        samples, outputs, peak_mb, operators = (
            worker.measure(4), worker.outputs(), worker.peak_memory_mb(), worker.operators(2))
    assert loaded["version"] == "2.0.0" and [(one["name"], one["shape"]) for one in loaded["inputs"]] == [
        ("x", [2, 5, 8]), ("n", [2, 5, 1])]
    assert len(samples.wall_ms) == len(samples.cpu_ms) == 4 and min(samples.wall_ms) > 0
    assert operators == [] and peak_mb > 20
    expected = onnxruntime.InferenceSession(str(two_inputs)).run(None, {"x": x, "n": n})
    assert [output.shape for output in outputs] == [(2, 5, 8), (2, 5, 1)]
    assert largest_relative_difference(outputs, expected) <= GATE


def test_a_profile_and_the_list_of_runtimes_have_it(fake_lite, onnx_path, capsys):
    fake_lite()
    settings = ProfileConfig(runtimes=["mindspore-lite"], warmup=1, repeats=5, time_limit_s=0)
    [profile] = profile_artifact(onnx_path, settings)
    assert (profile.runtime, profile.version, profile.repeats) == ("mindspore-lite", "2.0.0", 5)
    assert profile.inputs[0].shape == (1, 16) and profile.operators == []
    assert main(["runtimes", "mindspore-lite"]) == 0
    assert "mindspore-lite 2.0.0" in capsys.readouterr().out


LOG = "[ERROR] LITE(1,7f,python):2026 [mindspore/lite/x.cc:1] Run] "
# fault -> the reason of the row
FAULTS = {
    "segfault in convert": "mindspore-lite's converter died of signal 11 (SIGSEGV)",
    "refusal in convert":
        "mindspore-lite's converter ended with exit code 1: convert failed! Error is Common error code.",
    f"log:{LOG}convert nodes failed\n[ERROR] LITE FMKTYPE: ONNX, OP TYPE: Strange\n":
        "mindspore-lite's converter ended with exit code 1: MindSpore Lite has no Strange",
    f"log:{LOG}something else\n": "mindspore-lite's converter ended with exit code 1: something else",
    "segfault in build": "the measuring process died of signal 11 (SIGSEGV) in 'load'",
    "refusal in build": "mindspore-lite cannot load: build failed! Error is Common error code.",
    "segfault in predict": "the measuring process died of signal 11 (SIGSEGV) in 'feed'",
    "refusal in predict": "mindspore-lite cannot feed: predict failed! Error is Common error code.",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.split("\n")[0][-40:])
def test_what_goes_wrong_there_is_one_line(fault, fake_lite, onnx_path):
    fake_lite(fault)
    with pytest.raises(ProfileError) as caught:
        profile_artifact(onnx_path, ProfileConfig(runtimes=["mindspore-lite"], warmup=1, repeats=2, time_limit_s=0))
    assert str(caught.value).startswith(
        f"nothing could be measured: mindspore-lite, threads 1, batch 1: {FAULTS[fault]}")
    assert "\n" not in str(caught.value)


def test_what_hangs_there_ends_with_its_time(fake_lite, onnx_path):
    fake_lite("hang in convert")
    module = "msnoah.deploy.runtimes.mindspore_lite_conversion"
    with pytest.raises(ProfileError, match="mindspore-lite's converter was ended after 3 s"):
        Converter("mindspore-lite", module, "1", ("model.ms",), limit_s=3.0).convert(open_artifact(onnx_path), 1)


def test_a_worker_that_hangs_is_ended(fake_lite, onnx_path):
    fake_lite("hang in build")
    with open_worker("mindspore-lite") as worker:
        converted = worker.convert("mindspore-lite", open_artifact(onnx_path), 1)
        worker.limit_s = 1.0
        with pytest.raises(ProfileError, match="no answer within 1 s.* in 'load'"):
            worker.load("mindspore-lite", converted, 1, 1)


def test_the_host_reads_the_machine_and_the_worker_knows_no_more_than_it_must(fake_lite):
    fake_lite()
    with open_worker("mindspore-lite") as worker:
        assert worker.device().cores == read_device().cores and worker.telemetry() is not None
        with pytest.raises(ProfileError, match="does not know 'dance'"):
            worker.ask("dance")


def test_without_the_environment_the_row_says_how_to_get_it(tmp_path, onnx_path, monkeypatch):
    monkeypatch.setenv("MSNOAH_HOME", str(tmp_path))
    words = f"mindspore-lite is not installed in {tmp_path}/environments; `msnoah runtimes install mindspore-lite` gets"
    with pytest.raises(ProfileError, match=words):
        profile_artifact(onnx_path, ProfileConfig(runtimes=["mindspore-lite"]))
    with pytest.raises(RuntimeUnavailableError, match="runs in its own environment, not in this Python 3"):
        find_runtime("mindspore-lite").load(open_artifact(onnx_path), 1)


@pytest.mark.parametrize("runtime, words", [("mindspore-lite", "mindspore-lite"), ("litert", "onnx2tf")])
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_what_was_not_tried_in_other_precisions_is_refused(runtime, words, precision, onnx_path):
    artifact = replace(open_artifact(onnx_path), precision=precision)
    with pytest.raises(ProfileError, match=f"^{words} is driven in float32 only; small.onnx is of {precision}$"):
        find_runtime(runtime).convert(artifact, 1)


def test_lite_keeps_to_what_it_was_tried_with():
    assert mindspore_lite_conversion.SCRIPT in SCRIPTS
    assert "mindspore-lite==2.0.0" in MINDSPORE_LITE.requirements_file.read_text(encoding="utf-8")


# --- the real one


@pytest.fixture(scope="module")
def real_lite(tmp_path_factory):
    yield from provide(MINDSPORE_LITE, tmp_path_factory.mktemp("home"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(name for name in GRAPHS if name not in ("sum of one", "layer norm of two axes"))])
def test_real_lite_computes_what_was_spelled_for_it(name, real_lite, tmp_path):
    path = tmp_path / "small.onnx"
    onnx.save(GRAPHS[name][0](), path)
    x = np.random.default_rng(1).standard_normal((2, 5, 8)).astype(np.float32)
    with open_worker("mindspore-lite") as worker:
        worker.load("mindspore-lite", worker.convert("mindspore-lite", open_artifact(path), 2), 1, 2)
        worker.feed([x])
        found = worker.outputs()
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    assert largest_relative_difference(found, expected) <= LITE_GATE


@pytest.mark.slow
def test_real_lite_keeps_orders_layouts_and_types(real_lite, two_inputs, tmp_path):
    x, n = WEIGHTS[:, :5], np.arange(10).reshape(2, 5, 1)
    with open_worker("mindspore-lite") as worker:
        worker.load("mindspore-lite", worker.convert("mindspore-lite", open_artifact(two_inputs), 2), 1, 2)
        worker.feed([x, n])
        found = worker.outputs()
    expected = onnxruntime.InferenceSession(str(two_inputs)).run(None, {"x": x, "n": n})
    assert largest_relative_difference(found, expected) <= LITE_GATE
    assert importlib.metadata.version("numpy").startswith("1.")   # its environment left this one alone
