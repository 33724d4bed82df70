"""Minimal filtering: what it rewrites, what it leaves, and that the numbers stay."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from msnoah.export.complexity import count_macs
from msnoah.export.minimal_filtering import filter_minimally

TOLERANCE = 3e-6
"""Relative to the largest output: combined rows are up to ten times as large as rows, and float32 rounds them."""
CHANNELS = 64


def build(
    size=(12, 9), *, channels=CHANNELS, outputs=CHANNELS, kernel=(3, 3), bias=True, group=1, batch="batch",
    **attributes,
) -> onnx.ModelProto:
    """Conv, Relu, and the sum of both, so that the convolution's result has two readers."""
    rng = np.random.default_rng(4)
    arrays = {"w": rng.normal(size=(outputs, channels // group, *kernel)) / 24, "b": rng.normal(size=outputs)}
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()][:1 + bias]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"][:2 + bias], ["c"], "conv", group=group, **attributes),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Add", ["r", "c"], ["y"]),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, *size])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "test", [image], [result], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0]


SAME = {"pads": [1, 1, 1, 1]}
REWRITTEN = {
    "whole_tiles": {**SAME},
    "a_part_of_a_tile": {"size": (14, 14), **SAME},
    "seven_rows": {"size": (7, 7), **SAME},
    "unpadded": {"size": (10, 9)},
    "more_padding_than_taps": {"size": (8, 9), "pads": [3, 0, 1, 2]},
    "padded_below_alone": {"size": (9, 9), "pads": [0, 1, 1, 1]},
    "without_bias": {"bias": False, **SAME},
    "steps_and_gaps_along_columns": {
        "size": (12, 20), "kernel": (3, 5), "strides": [1, 2], "dilations": [1, 2], "pads": [1, 4, 1, 4]},
    "one_column": {"kernel": (3, 1), "pads": [1, 0, 1, 0]},
    "more_outputs": {"channels": 40, "outputs": 160, **SAME},
    "a_fixed_batch": {"batch": 3, **SAME},
}


@pytest.mark.parametrize("settings", REWRITTEN.values(), ids=REWRITTEN)
def test_the_numbers_stay(settings):
    model = build(**settings)
    before = model.SerializeToString()
    filtered = filter_minimally(model)
    assert model.SerializeToString() == before
    kinds = Counter(node.op_type for node in filtered.graph.node)
    assert kinds["Conv"] == 6 + 6 + 5 + 1 and kinds["Concat"] == 1
    assert count_macs(filtered)["Conv"] < 0.8 * count_macs(model)["Conv"]
    assert {"w", "b"}.isdisjoint(tensor.name for tensor in filtered.graph.initializer)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    expected, found = run(model, x), run(filtered, x)
    assert found.shape == expected.shape and np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


LEFT = {
    "stride": {"strides": [2, 2], **SAME},
    "dilation": {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
    "groups": {"group": 2, **SAME},
    "five_rows": {"kernel": (5, 5), "pads": [2, 2, 2, 2]},
    "one_row": {"kernel": (1, 3), "pads": [0, 1, 0, 1]},
    "few_inputs": {"channels": 16, **SAME},
    "few_outputs": {"outputs": 16, **SAME},
    "mostly_empty_tiles": {"size": (5, 9), **SAME},
    "automatic_padding": {"auto_pad": "SAME_UPPER"},
    "unknown_rows": {"size": ("height", 9), **SAME},
}


@pytest.mark.parametrize("settings", LEFT.values(), ids=LEFT)
def test_what_gains_nothing_or_is_no_such_convolution_stays(settings):
    model = build(**settings)
    assert list(filter_minimally(model).graph.node) == list(model.graph.node)


def test_weights_that_two_convolutions_share_serve_both():
    model = build(**SAME)
    model.graph.node[2].input[1] = "second"
    again = helper.make_node("Conv", ["r", "w"], ["second"], "again", strides=[2, 2], **SAME)
    model.graph.node.insert(2, again)
    model.graph.node[3].CopyFrom(helper.make_node("Relu", ["second"], ["y"]))
    filtered = filter_minimally(model)
    x = np.random.default_rng(1).normal(size=(2, CHANNELS, 12, 9)).astype(np.float32)
    expected = run(model, x)
    assert np.abs(run(filtered, x) - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_the_convolution_may_be_the_models_result():
    model = build(**SAME)
    del model.graph.node[1:]
    model.graph.output[0].name = "c"
    x = np.random.default_rng(1).normal(size=(2, CHANNELS, 12, 9)).astype(np.float32)
    expected = run(model, x)
    assert np.abs(run(filter_minimally(model), x) - expected).max() <= TOLERANCE * np.abs(expected).max()
