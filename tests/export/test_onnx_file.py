"""Checking and writing ONNX models: one file or two, whole or not at all."""

import resource

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from msnoah.errors import ConversionError, RunFolderError
from msnoah.export.onnx_file import check_onnx, save_onnx

WIDTH = 64
"""Of square float32 matrices: 16 KB each."""


def chain(count: int, seed: int = 0) -> onnx.ModelProto:
    """x -> x W0 -> ... -> + 1, with metadata: fields before and after the graph."""
    rng = np.random.default_rng(seed)
    arrays = rng.standard_normal((count, WIDTH, WIDTH)).astype(np.float32)
    weights = [numpy_helper.from_array(array, f"w{index}") for index, array in enumerate(arrays)]
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"], f"product{i}") for i in range(count)]
    nodes.append(helper.make_node("Add", [f"x{count}", "one"], ["y"], "sum"))
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, WIDTH]) for name in ("x0", "y")]
    graph = helper.make_graph(nodes, "chain", infos[:1], infos[1:], [*weights, one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"author": "test"})
    return model


def run(model) -> np.ndarray:
    session = onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model))
    return session.run(None, {"x0": np.ones((2, WIDTH), np.float32)})[0]


def test_one_file_holds_what_protobuf_would_write(tmp_path):
    save_onnx(chain(3), tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == chain(3).SerializeToString()
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_large_weights_go_beside_the_file(tmp_path):
    path = tmp_path / "net.onnx"
    save_onnx(chain(3), str(path), single_file_limit=40_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    assert [tensor.HasField("raw_data") for tensor in tensors] == [False, False, False, True]
    assert path.stat().st_size < 2000
    onnx.checker.check_model(str(path), full_check=True)
    assert np.array_equal(run(path), run(chain(3).SerializeToString()))


def test_the_model_in_memory_stays_as_it_is(tmp_path):
    model = chain(2)
    save_onnx(model, tmp_path / "net.onnx", single_file_limit=0)
    check_onnx(model)
    assert model == chain(2)


def test_new_files_replace_old_ones(tmp_path):
    path = tmp_path / "net.onnx"
    for seed, limit in [(0, 0), (1, 0), (2, 10**6), (3, 0)]:
        save_onnx(chain(2, seed), path, single_file_limit=limit)
        assert np.array_equal(run(path), run(chain(2, seed).SerializeToString()))


@pytest.mark.parametrize("limit", [0, 10**9])
def test_a_full_disk_leaves_the_earlier_model(tmp_path, limit):
    path = tmp_path / "net.onnx"
    save_onnx(chain(2), path, single_file_limit=limit)
    before, limits = run(path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(RunFolderError, match="net.onnx.*: cannot be written: File too large") as caught:
            save_onnx(chain(2, seed=1), path, single_file_limit=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert np.array_equal(run(path), before)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]


@pytest.mark.parametrize("name", ["missing/net.onnx", "folder", "/proc/net.onnx"])
def test_what_cannot_be_written_is_one_line(tmp_path, name):
    (tmp_path / "folder").mkdir()
    for limit in (0, 10**9):
        with pytest.raises(RunFolderError, match="cannot be written") as caught:
            save_onnx(chain(1), tmp_path / name, single_file_limit=limit)
        assert "\n" not in str(caught.value)


def wrong_shape(model):
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5


def unknown_operator(model):
    model.graph.node[1].op_type = "Mystery"


def missing_value(model):
    model.graph.node[1].input[0] = "nowhere"


def lost_weight(model):
    del model.graph.initializer[0]


def shortened_weight(model):
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[4:]


def weight_of_another_shape(model):
    model.graph.initializer[0].dims[:] = [WIDTH // 2, WIDTH * 2]


FAULTS = [wrong_shape, unknown_operator, missing_value, lost_weight, shortened_weight, weight_of_another_shape]


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda fault: fault.__name__)
def test_a_wrong_model_is_refused(spoil):
    model = chain(2)
    check_onnx(model)
    spoil(model)
    with pytest.raises(ConversionError, match="not valid ONNX") as caught:
        check_onnx(model)
    assert "\n" not in str(caught.value)
