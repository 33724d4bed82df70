"""float16 files: how exact, what stays float32, and that inputs and outputs do."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantized_graphs import constants_of, finish, images, make_graph, noise_db

from msnoah.export.half_precision import round_to_half, use_half_precision
from msnoah.export.model_edits import element_types
from msnoah.export.verification import run_onnx


def halve(model, peaks=None):
    half, kept = use_half_precision(model, peaks or {})
    onnx.checker.check_model(half, full_check=True)
    return half, kept


def answers(model, feed=None):
    return run_onnx(model)([images() if feed is None else feed])[0]


def test_all_of_it_in_float16():
    model = make_graph()
    half, kept = halve(model)
    assert kept == [] and noise_db(answers(half), answers(model)) > 55   # 11 bits are 66 dB, ten operators in a row
    weights = {name: array.dtype.name for name, array in constants_of(half).items() if name.partition(".")[2]}
    assert set(weights.values()) == {"float16"} and "stem.weight" not in weights
    kinds = element_types(half)
    assert kinds["image"] == kinds["logits"] == TensorProto.FLOAT and kinds["relu"] == TensorProto.FLOAT16


@pytest.mark.parametrize("large, kept", [
    ("relu", ["Relu", "body.Conv", "Add"]), ("logits", ["head.Gemm"]),
    ("tokens", ["Reshape", "token.MatMul", "product.MatMul"]),
])
def test_what_touches_a_large_number_stays(large, kept):
    model = make_graph()
    half, found = halve(model, {large: 5e4})
    assert found == kept and noise_db(answers(half), answers(model)) > 55


@pytest.mark.parametrize("size", [1e5, np.inf])
def test_weights_that_float16_cannot_hold_stay(size):
    weights = np.full((5, 16), 1e-5, np.float32)
    weights[0, 0] = size
    half, kept = halve(make_graph(**{"head.weight": weights}))
    assert kept == ["head.Gemm"] and np.array_equal(constants_of(half)["head.weight"], weights)


def test_a_number_that_overflows_would_be_infinite_and_is_not():
    model = make_graph(**{"body.weight": np.full((4, 4, 1, 1), 3e4, np.float32)})
    assert not np.isfinite(answers(round_to_half(model, []))).all()
    half, kept = halve(model, dict.fromkeys(["body", "sum", "up", "tokens", "mixed", "turned", "context", "row"], 1e7))
    assert "body.Conv" in kept and "stem.Conv" not in kept
    assert noise_db(answers(round_to_half(model, kept)), answers(model)) > 55
    assert noise_db(answers(half), answers(model)) > 55


def test_rounding_is_that_of_float16():
    """Of one product: its inputs, its weights and its result are rounded, and nothing between."""
    sizes = {"x": 2, "y": 1}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in sizes.items())
    weights = np.float32([[1 / 3], [7.0]])
    model = finish([helper.make_node("MatMul", ["x", "w"], ["y"], "product")], [x], [y],
                   [numpy_helper.from_array(weights, "w")])
    feed = np.float32([[1.0, 0.0], [1.0, 3.0], [2049.0, 1.0]])
    halves = [array.astype(np.float16).astype(np.float32) for array in (feed, weights)]
    expected = (halves[0] @ halves[1]).astype(np.float16)
    assert halves[0][2, 0] == 2048
    assert np.array_equal(answers(round_to_half(model, []), feed), expected.astype(np.float32))
    assert np.array_equal(answers(round_to_half(model, ["product"]), feed), answers(model, feed))


def test_sums_over_many_and_coordinates_stay_float32():
    x = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])
    y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3, 1, 1])
    nodes = [helper.make_node("Relu", ["image"], ["relu"], "relu"),
             helper.make_node("GlobalAveragePool", ["relu"], ["mean"], "mean"),
             helper.make_node("Relu", ["mean"], ["logits"], "last")]
    half, kept = halve(finish(nodes, [x], [y], []))
    assert kept == ["mean"] and [node.op_type for node in half.graph.node].count("Cast") == 4


def test_a_body_reads_float32_and_the_batch_stays_open():
    body = helper.make_graph([helper.make_node("Mul", ["relu", "factor"], ["result"])], "body", [],
                             [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, 8, 8]) for name in ("image", "logits"))
    tensors = [numpy_helper.from_array(np.array(value), name) for name, value in
               (("factor", np.float32(0.3)), ("yes", True))]
    nodes = [helper.make_node("Relu", ["image"], ["relu"], "relu"),
             helper.make_node("If", ["yes"], ["chosen"], "if", then_branch=body, else_branch=body),
             helper.make_node("Mul", ["chosen", "factor"], ["logits"], "last")]
    model = finish(nodes, [x], [y], tensors)
    half, kept = halve(model)
    assert kept == ["relu"] and noise_db(answers(half), answers(model)) > 60
    assert half.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert answers(half, images(3)).shape == (3, 3, 8, 8)
