"""LiteRT: outputs of a small .tflite file that is written here, its precision, and what is refused."""

import numpy as np
import pytest

from msnoah.cli import main
from msnoah.config import ProfileConfig
from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.profiler import profile_artifact, profile_run
from msnoah.deploy.runtimes.table import find_runtime
from msnoah.deploy.tflite_file import weight_counts
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import ProfileError, RuntimeUnavailableError

GATE = 1e-6  # relative: sums of four products in float32
WEIGHTS = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
BIAS = np.array([0.5, -0.25, 1], np.float32)


@pytest.fixture
def tflite_path(tmp_path):
    """x (batch, 4) float32 -> fully connected, ReLU -> y (batch, 3); written by the schema that LiteRT ships."""
    try:
        find_runtime("litert").version()
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))
    path = tmp_path / "small.tflite"
    path.write_bytes(write_model())
    return path


def write_model() -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name, shape, buffer, signature=None):
        return schema.TensorT(shape=shape, buffer=buffer, name=name, shapeSignature=signature, hasRank=True)

    kind = schema.BuiltinOperator.FULLY_CONNECTED
    options = schema.FullyConnectedOptionsT(fusedActivationFunction=schema.ActivationFunctionType.RELU)
    layer = schema.OperatorT(inputs=[0, 1, 2], outputs=[3], builtinOptions=options,
                             builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions)
    tensors = [tensor("x", [1, 4], 0, [-1, 4]), tensor("w", [3, 4], 1), tensor("b", [3], 2),
               tensor("y", [1, 3], 0, [-1, 3])]
    graph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[3], operators=[layer])
    buffers = [schema.BufferT(), *(schema.BufferT(data=list(array.tobytes())) for array in (WEIGHTS, BIAS))]
    code = schema.OperatorCodeT(deprecatedBuiltinCode=kind, builtinCode=kind)
    model = schema.ModelT(version=3, operatorCodes=[code], subgraphs=[graph], buffers=buffers)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("batch, threads", [(1, 1), (5, 2)])
def test_outputs_are_those_of_the_layer(batch, threads, tflite_path):
    runtime = find_runtime("litert")
    session = runtime.load(runtime.convert(open_artifact(tflite_path), batch), threads)
    assert [(spec.name, spec.shape, spec.dtype) for spec in session.inputs] == [("x", (batch, 4), "float32")]
    x = np.random.default_rng(1).standard_normal((batch, 4)).astype(np.float32)
    expected = np.maximum(x @ WEIGHTS.T + BIAS, 0)
    [found] = session.run([x])
    session.run([x + 1])   # what a session gave is not written over by its next run
    assert found.shape == expected.shape and np.abs(found - expected).max() <= GATE * np.abs(expected).max()


def test_a_file_is_profiled_by_its_path(tflite_path):
    settings = ProfileConfig(runtimes=["litert"], time_limit_s=0, warmup=1, repeats=5, batch_size=2)
    [profile] = profile_artifact(tflite_path, settings)
    assert (profile.runtime, profile.model, profile.precision) == ("litert", "small", "float32")
    assert profile.repeats == 5 and profile.operators == [] and profile.size_bytes == tflite_path.stat().st_size


def test_precision_is_that_of_the_constants(tflite_path):
    assert weight_counts(tflite_path.read_bytes()) == {"float32": WEIGHTS.size + BIAS.size}


def test_a_file_that_is_cut_is_refused_in_one_line(tflite_path, tmp_path):
    content = tflite_path.read_bytes()
    for size in range(8, 200, 8):
        (tmp_path / "cut.tflite").write_bytes(content[:size])
        with pytest.raises(ProfileError, match="cut.tflite: not a TensorFlow Lite model: damaged"):
            open_artifact(tmp_path / "cut.tflite")


def test_what_litert_refuses_is_one_line(tflite_path):
    artifact = open_artifact(tflite_path)
    tflite_path.write_bytes(b"\x00" * 100)
    with WorkerProcess() as worker, pytest.raises(ProfileError, match="^litert cannot load small.tflite: .*valid"):
        worker.start("litert", artifact, 1, 1)


def test_another_file_is_not_a_model(tmp_path, capsys):
    path = tmp_path / "x.tflite"
    path.write_bytes(b"no model at all")
    assert main(["profile", str(path), "--runtime", "litert"]) == 2
    words = f"msnoah profile: {path}: not a TensorFlow Lite model: its bytes 4 to 8 are b'odel', expected b'TFL3'\n"
    assert capsys.readouterr().err == words


def test_without_the_package_the_line_says_how_to_get_it(onnx_path, tmp_path, monkeypatch):
    (tmp_path / "ai_edge_litert.py").write_text("raise ImportError('hidden by the test')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with WorkerProcess() as worker, pytest.raises(ProfileError, match="`pip install ai-edge-litert` gets it"):
        worker.start("litert", open_artifact(onnx_path), 1, 1)


def test_kinds_and_runtimes_that_do_not_go_together_name_those_that_do(tflite_path, exported_run):
    with pytest.raises(ProfileError, match="of mnn, openvino none runs .tflite files, but these do: litert$"):
        profile_artifact(tflite_path, ProfileConfig(runtimes=["mnn", "openvino"]))
    with pytest.raises(ProfileError, match="lists no mindir artifact; `msnoah export` writes it"):
        profile_run(exported_run, ProfileConfig(runtimes=["mindspore"]))
