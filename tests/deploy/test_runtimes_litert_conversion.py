"""LiteRT from .onnx files: what is handed to onnx2tf, orders and shapes that come back, faults of the converter."""


import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from msnoah.config import ProfileConfig
from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.environments.table import ONNX2TF
from msnoah.deploy.measurement import largest_relative_difference
from msnoah.deploy.profiler import profile_artifact, profile_run
from msnoah.deploy.runtimes.fixed_graph import read_at_batch
from msnoah.deploy.runtimes.litert import OUTPUT, tensor_places
from msnoah.deploy.runtimes.litert_conversion import flatten_outputs, rename_inputs
from msnoah.deploy.runtimes.table import find_runtime
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import ProfileError, RuntimeUnavailableError
from tests.deploy.planted_environment import plant
from tests.deploy.real_environment import provide

GATE = 2e-6  # relative: float32 in other orders, GELU's erf by a polynomial
GENERATOR = np.random.default_rng(0)
WEIGHTS, BIAS = GENERATOR.standard_normal((3, 4)).astype(np.float32), np.array([0.5, -0.25, 1], np.float32)
FEEDS = {"image": GENERATOR.standard_normal((2, 3, 10, 9)).astype(np.float32),
         "tokens": GENERATOR.standard_normal((2, 7, 4)).astype(np.float32), "k": GENERATOR.integers(0, 5, (2, 7))}


def small_graph():
    """x (batch, 4), n (batch, 3) -> a (batch, 3), b (batch, 1, 3)."""
    nodes = [helper.make_node("Gemm", ["x", "w", "bias"], ["g"], "g", transB=1),
             helper.make_node("Relu", ["g"], ["h"], "h"),
             helper.make_node("Add", ["h", "n"], ["a"], "a"), helper.make_node("Unsqueeze", ["h", "one"], ["b"], "b")]
    constants = {"w": WEIGHTS, "bias": BIAS, "one": np.array([1])}
    return build(nodes, constants, {"x": ["batch", 4], "n": ["batch", 3]}, {"a": ["batch", 3], "b": ["batch", 1, 3]})


def mixed_graph():
    """An image, tokens and integers; outputs with channels first, a vector of pixels, and tokens after exact GELU."""
    nodes = [("Conv", "image w", "map", {"pads": [1, 1, 1, 1]}), ("GlobalAveragePool", "map", "pooled", {}),
             ("Reshape", "pooled row", "p", {}), ("Mul", "tokens p", "m", {}), ("Cast", "k", "f", {"to": 1}),
             ("Unsqueeze", "f two", "u", {}), ("Add", "m u", "h", {}), ("Div", "h root", "d", {}),
             ("Erf", "d", "e", {}), ("Add", "e one", "o", {}), ("Mul", "h o", "g", {}), ("Mul", "g half", "gelu", {})]
    nodes = [helper.make_node(kind, ins.split(), [out], out, **attributes) for kind, ins, out, attributes in nodes]
    constants = {"w": np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32),
                 "two": np.array([2]), "row": np.array([2, 1, 4]),
                 "root": np.float32(2 ** 0.5), "one": np.float32(1), "half": np.float32(0.5)}
    inputs = {name: [feed.shape[0], *feed.shape[1:]] for name, feed in FEEDS.items()}
    return build(nodes, constants, inputs, {"map": [2, 4, 10, 9], "pooled": [2, 4, 1, 1], "gelu": [2, 7, 4]}, {"k": 7})


def build(nodes, constants, inputs, outputs, kinds=None):
    tensors = [helper.make_tensor_value_info(name, (kinds or {}).get(name, TensorProto.FLOAT), shape)
               for name, shape in inputs.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "small", tensors, results, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def small_path(tmp_path):
    onnx.save(small_graph(), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


@pytest.fixture
def litert():
    runtime = find_runtime("litert")
    try:
        runtime.version()
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))
    return runtime


def test_what_onnx2tf_gets_computes_the_same_in_matrices(tmp_path):
    path = tmp_path / "mixed.onnx"
    onnx.save(mixed_graph(), path)
    graph = read_at_batch(path, 2)
    rename_inputs(graph)
    flatten_outputs(graph)
    model = graph.to_model()
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert [one.name for one in session.get_inputs()] == ["input_0", "input_1", "input_2"]
    assert [one.name for one in session.get_outputs()] == ["output_0", "output_1", "output_2"]
    found = session.run(None, dict(zip(["input_0", "input_1", "input_2"], FEEDS.values())))
    expected = onnxruntime.InferenceSession(str(path)).run(None, FEEDS)
    assert [output.shape for output in found] == [(2, 360), (2, 4), (2, 28)]
    for flat, output in zip(found, expected, strict=True):
        assert np.array_equal(flat.reshape(output.shape), output)


def signed_tflite() -> bytes:
    """What onnx2tf would make of `small_graph` at batch 2: other orders of inputs and outputs, names in a signature."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name, shape, buffer=0):
        return schema.TensorT(shape=shape, buffer=buffer, name=name, hasRank=True)

    def places(**indices):
        return [schema.TensorMapT(name=name, tensorIndex=index) for name, index in indices.items()]

    relu = schema.ActivationFunctionType.RELU
    layer = schema.OperatorT(
        opcodeIndex=0, inputs=[0, 1, 2], outputs=[3], builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
        builtinOptions=schema.FullyConnectedOptionsT(fusedActivationFunction=relu))
    addition = schema.OperatorT(opcodeIndex=1, inputs=[3, 4], outputs=[5], builtinOptions=schema.AddOptionsT(),
                                builtinOptionsType=schema.BuiltinOptions.AddOptions)
    tensors = [tensor("in:0", [2, 4]), tensor("w", [3, 4], 1), tensor("b", [3], 2), tensor("out:0", [2, 3]),
               tensor("in:1", [2, 3]), tensor("out:1", [2, 3])]
    graph = schema.SubGraphT(tensors=tensors, inputs=[4, 0], outputs=[3, 5], operators=[layer, addition])
    buffers = [schema.BufferT(), *(schema.BufferT(data=list(array.tobytes())) for array in (WEIGHTS, BIAS))]
    codes = [schema.OperatorCodeT(deprecatedBuiltinCode=kind, builtinCode=kind)
             for kind in (schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.ADD)]
    signature = schema.SignatureDefT(inputs=places(input_1=4, input_0=0), outputs=places(output_1=3, output_0=5),
                                     signatureKey="serving_default", subgraphIndex=0)
    model = schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers, signatureDefs=[signature])
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


FAKE = """
import os, shutil, signal, sys
import onnx

def convert(input_onnx_file_path, keep_ncw_or_nchw_or_ncdhw_input_names, replace_to_pseudo_operators, **options):
    assert os.path.getsize("calibration_image_sample_data_20x128x128x3_float32.npy") > 0
    assert keep_ncw_or_nchw_or_ncdhw_input_names is None and replace_to_pseudo_operators == ["erf"]
    onnx.checker.check_model(input_onnx_file_path)
    return "made.tflite"
"""

TENSORFLOW = """
import os, signal, sys

class OpsSet: TFLITE_BUILTINS, SELECT_TF_OPS = "builtin", "select"

class TFLiteConverter:
    class target_spec: pass
    @classmethod
    def from_keras_model(cls, model): return cls()
    def convert(self):
        assert self.target_spec.supported_ops == ["builtin", "select"]
        {act}

lite = sys.modules[__name__]
"""


@pytest.fixture
def fake_onnx2tf(tmp_path, monkeypatch):
    """A function that plants onnx2tf, which acts as told."""
    monkeypatch.setenv("MSNOAH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda act: plant(ONNX2TF, {"onnx2tf": FAKE, "tensorflow": TENSORFLOW.format(act=act)}, tmp_path)


def test_orders_and_shapes_are_those_of_the_artifact(litert, fake_onnx2tf, small_path, tmp_path):
    (tmp_path / "made.tflite").write_bytes(signed_tflite())
    fake_onnx2tf(f"return open({str(tmp_path / 'made.tflite')!r}, 'rb').read()")
    session = litert.load(litert.convert(open_artifact(small_path), 2), 1)
    assert [(spec.name, spec.shape) for spec in session.inputs] == [("x", (2, 4)), ("n", (2, 3))]
    feeds = {"x": FEEDS["tokens"][0, :2], "n": FEEDS["tokens"][1, :2, :3]}
    found = session.run(list(feeds.values()))
    assert [output.shape for output in found] == [(2, 3), (2, 1, 3)]
    assert largest_relative_difference(found, onnxruntime.InferenceSession(str(small_path)).run(None, feeds)) <= GATE


# what onnx2tf does -> the reason of the row
FAULTS = {
    "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", "litert's converter died of signal 11 (SIGSEGV)"),
    "refusal": ("raise ValueError('no such\\noperator: Strange')",
                "litert's converter ended with exit code 1: TensorFlow Lite's converter: no such operator: Strange"),
    "nothing": ("print('done', flush=True); os._exit(0)", "litert's converter made no model.tflite: done"),
    "other names": ("return open(os.environ['MADE'], 'rb').read()",
                    "litert has inputs ['input_1', 'inputs0'] after conversion, expected ['input_0', 'input_1']"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_conversion_that_fails_is_one_line(fault, litert, fake_onnx2tf, small_path, tmp_path, monkeypatch):
    act, words = FAULTS[fault]
    (tmp_path / "made.tflite").write_bytes(signed_tflite().replace(b"input_0", b"inputs0"))
    monkeypatch.setenv("MADE", str(tmp_path / "made.tflite"))
    fake_onnx2tf(act)
    with WorkerProcess() as worker, pytest.raises(ProfileError) as caught:
        worker.start("litert", open_artifact(small_path), 1, 2)
    assert str(caught.value) == words


def test_without_onnx2tf_the_row_says_how_to_get_it(litert, exported_run, tmp_path, monkeypatch):
    monkeypatch.setenv("MSNOAH_HOME", str(tmp_path))
    words = "onnx2tf is not installed in .*; `msnoah runtimes install onnx2tf` gets it .*tflite files run without it"
    with pytest.raises(ProfileError, match=words):
        profile_run(exported_run, ProfileConfig(runtimes=["litert"]))


@pytest.fixture(scope="module")
def real_onnx2tf(tmp_path_factory):
    yield from provide(ONNX2TF, tmp_path_factory.mktemp("home"))


@pytest.mark.slow
def test_real_onnx2tf_keeps_layouts(litert, real_onnx2tf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mixed.onnx"
    onnx.save(mixed_graph(), path)
    session = litert.load(litert.convert(open_artifact(path), 2), 1)
    expected = onnxruntime.InferenceSession(str(path)).run(None, FEEDS)
    assert largest_relative_difference(session.run(list(FEEDS.values())), expected) <= GATE


@pytest.mark.slow
def test_an_onnx_file_is_profiled_by_way_of_onnx2tf(litert, real_onnx2tf, onnx_path):
    settings = ProfileConfig(runtimes=["litert"], warmup=1, repeats=5, batch_size=2, time_limit_s=0)
    [profile] = profile_artifact(onnx_path, settings)
    assert (profile.runtime, profile.repeats, profile.inputs[0].shape) == ("litert", 5, (2, 16))


class Unsigned:
    """An interpreter of a file that TensorFlow gave no signature."""

    def __init__(self, count):
        self.count = count

    def get_signature_list(self):
        return {}

    def get_output_details(self):
        return [{"index": index} for index in range(self.count)]


def test_without_a_signature_a_single_tensor_is_itself():
    assert tensor_places(Unsigned(1), "output", OUTPUT, 1) == [{"index": 0}]


@pytest.mark.parametrize("found, expected", [(2, 2), (2, 1), (1, 2)])
def test_without_a_signature_several_cannot_be_told_apart(found, expected):
    with pytest.raises(ProfileError, match=f"cannot tell {found} outputs apart: the converted file has no signature"):
        tensor_places(Unsigned(found), "output", OUTPUT, expected)


class Signed:
    """An interpreter of a file whose signature has these outputs."""

    def __init__(self, *names):
        self.names = names

    def get_signature_list(self):
        return {"serving_default": {}}

    def get_signature_runner(self):
        return self

    def get_output_details(self):
        return {name: {"name": name} for name in self.names}


@pytest.mark.parametrize("names, order", [
    (("output_1", "output_0"), ["output_0", "output_1"]),
    (("output_1_1", "output_0_1"), ["output_0_1", "output_1_1"]),   # as Keras numbers names that it has seen before
])
def test_tensors_stand_in_the_artifacts_order(names, order):
    assert [place["name"] for place in tensor_places(Signed(*names), "output", OUTPUT, 2)] == order


def test_other_names_are_not_guessed():
    with pytest.raises(ProfileError, match="outputs .'Identity', 'output_0'. after conversion, expected"):
        tensor_places(Signed("output_0", "Identity"), "output", OUTPUT, 2)
