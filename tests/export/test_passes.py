"""Each clean-up pass: what it merges, what it must leave, and that the numbers stay."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from msnoah.export.onnx_graph import OnnxGraph
from msnoah.export.passes import PASSES, run_passes

RNG = np.random.default_rng(0)
F = onnx.TensorProto.FLOAT


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def build(nodes, constants, outputs, x=(2, 3, 4)) -> onnx.ModelProto:
    """A model of (operator, inputs, output, attributes) rows, with the input x."""
    protos = [helper.make_node(op, names.split(), [out], out, **attributes) for op, names, out, attributes in nodes]
    graph = helper.make_graph(
        protos,
        "test",
        [helper.make_tensor_value_info("x", F, x)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})


# name, nodes, constants, outputs, operators that must be left, input shape
w, b, c = array(4, 5), array(5), array(5)
gelu = [
    ("Div", "h root", "d", {}),
    ("Erf", "d", "e", {}),
    ("Add", "e one", "p", {}),
    ("Mul", "h p", "q", {}),
    ("Mul", "q half", "g", {}),
]
ROWS = [
    ("identity", [("Identity", "x", "i", {}), ("Relu", "i", "y", {})], {}, "y", "Relu"),
    ("same_shape", [("Reshape", "x s", "i", {}), ("Relu", "i", "y", {})], {"s": ints(2, 3, 4)}, "y", "Relu"),
    ("same_order", [("Transpose", "x", "i", {"perm": [0, 1, 2]}), ("Relu", "i", "y", {})], {}, "y", "Relu"),
    (
        "add_zero",
        [("Add", "x z", "i", {}), ("Mul", "i o", "j", {}), ("Relu", "j", "y", {})],
        {"z": np.zeros(4, np.float32), "o": np.ones(1, np.float32)},
        "y",
        "Relu",
    ),
    ("output_keeps_its_name", [("Relu", "x", "r", {}), ("Identity", "r", "y", {})], {}, "y", "Relu"),
    ("input_as_output", [("Identity", "x", "y", {})], {}, "y", "Identity"),
    (
        "output_twice",
        [("Relu", "x", "r", {}), ("Identity", "r", "y", {}), ("Identity", "r", "z", {})],
        {},
        "y z",
        "Identity Relu",
    ),
    (
        "dead",
        [("Relu", "x", "y", {}), ("Exp", "x", "unused", {}), ("Log", "unused", "unused2", {})],
        {"k": b},
        "y",
        "Relu",
    ),
    (
        "reshapes",
        [("Reshape", "x s", "a", {}), ("Unsqueeze", "a t", "b", {}), ("Reshape", "b u", "y", {})],
        {"s": ints(6, 4), "t": ints(0), "u": ints(4, 6)},
        "y",
        "Reshape",
    ),
    (
        "reshape_used_twice",
        [("Reshape", "x s", "a", {}), ("Relu", "a", "z", {}), ("Reshape", "a u", "y", {})],
        {"s": ints(6, 4), "u": ints(4, 6)},
        "y z",
        "Relu Reshape Reshape",
    ),
    (
        "transposes",
        [("Transpose", "x", "a", {"perm": [2, 0, 1]}), ("Transpose", "a", "y", {"perm": [0, 2, 1]})],
        {},
        "y",
        "Transpose",
    ),
    (
        "transposes_cancel",
        [
            ("Transpose", "x", "a", {"perm": [2, 0, 1]}),
            ("Transpose", "a", "b", {"perm": [1, 2, 0]}),
            ("Relu", "b", "y", {}),
        ],
        {},
        "y",
        "Relu",
    ),
    ("adds", [("Add", "x b", "a", {}), ("Add", "c a", "y", {})], {"b": array(4), "c": array(3, 4)}, "y", "Add"),
    (
        "adds_used_twice",
        [("Add", "x b", "a", {}), ("Add", "c a", "y", {}), ("Relu", "a", "z", {})],
        {"b": array(4), "c": array(3, 4)},
        "y z",
        "Add Add Relu",
    ),
    (
        "adds_that_would_grow",
        [("Add", "x b", "a", {}), ("Add", "c a", "y", {})],
        {"b": array(4), "c": array(3, 1)},
        "y",
        "Add Add",
    ),
    (
        "scale_after",
        [("MatMul", "x w", "m", {}), ("Add", "m b", "a", {}), ("Mul", "a s", "y", {})],
        {"w": w, "b": b, "s": array(5)},
        "y",
        "Add MatMul",
    ),
    ("number_after", [("MatMul", "x w", "m", {}), ("Mul", "m s", "y", {})], {"w": w, "s": array()}, "y", "MatMul"),
    ("scale_before", [("Mul", "x s", "a", {}), ("MatMul", "a w", "y", {})], {"w": w, "s": array(4)}, "y", "MatMul"),
    (
        "scale_used_twice",
        [("Mul", "x s", "a", {}), ("MatMul", "a w", "y", {}), ("Relu", "a", "z", {})],
        {"w": w, "s": array(4)},
        "y z",
        "MatMul Mul Relu",
    ),
    (
        "scale_by_row",
        [("MatMul", "x w", "m", {}), ("Mul", "m s", "y", {})],
        {"w": w, "s": array(3, 1)},
        "y",
        "MatMul Mul",
    ),
    (
        "gelu_stays_whole",
        [("Add", "x z", "h", {}), *gelu, ("MatMul", "g w", "y", {})],
        {"z": array(4), "root": np.float32([2**0.5]), "one": np.float32([1]), "half": np.float32([0.5]), "w": w},
        "y",
        "Add Add Div Erf MatMul Mul Mul",
    ),
    (
        "expand",
        [
            ("Relu", "x", "r", {}),
            ("ReduceMean", "x", "m", {"axes": [2]}),
            ("Expand", "m s", "e", {}),
            ("Add", "r e", "y", {}),
        ],
        {"s": ints(2, 3, 4)},
        "y",
        "Add ReduceMean Relu",
    ),
    (
        "expand_that_matters",
        [("ReduceMean", "x", "m", {"axes": [2]}), ("Expand", "m s", "e", {}), ("Add", "m e", "y", {})],
        {"s": ints(2, 3, 4)},
        "y",
        "Add Expand ReduceMean",
    ),
    (
        "flattened",
        [("Reshape", "x s", "f", {}), ("MatMul", "f w", "m", {}), ("Add", "m b", "a", {}), ("Reshape", "a t", "y", {})],
        {"s": ints(6, 4), "w": w, "b": b, "t": ints(2, 3, 5)},
        "y",
        "Add MatMul",
    ),
    (
        "flattened_and_split",
        [("Reshape", "x s", "f", {}), ("MatMul", "f w", "m", {}), ("Reshape", "m t", "y", {})],
        {"s": ints(6, 4), "w": w, "t": ints(2, 3, 1, 5)},
        "y",
        "MatMul Reshape",
    ),
    (
        "joined_and_flattened",
        [
            ("Transpose", "x", "r", {"perm": [1, 0, 2]}),
            ("Reshape", "r s", "f", {}),
            ("MatMul", "f w2", "m", {}),
            ("Reshape", "m t", "y", {}),
        ],
        {"s": ints(3, 8), "w2": array(8, 5), "t": ints(3, 1, 5)},
        "y",
        "MatMul Reshape Transpose",
    ),
    (
        "flattened_and_read",
        [("Reshape", "x s", "f", {}), ("MatMul", "f w", "y", {})],
        {"s": ints(6, 4), "w": w},
        "y",
        "MatMul Reshape",
    ),
    (
        "duplicates",
        [("Add", "x b", "a", {}), ("Relu", "a", "r", {}), ("Add", "r c", "y", {})],
        {"b": np.ones(4, np.float32), "c": np.ones(4, np.float32)},
        "y",
        "Add Add Relu",
    ),
]
IMAGE_ROWS = [
    (
        "convolution_bias",
        [("Conv", "x w", "a", {}), ("Add", "a b", "y", {})],
        {"w": array(6, 4, 3, 3), "b": array(6, 1, 1)},
        "y",
        "Conv",
    ),
    (
        "convolution_second_bias",
        [("Conv", "x w b", "a", {}), ("Add", "c a", "y", {})],
        {"w": array(6, 4, 3, 3), "b": array(6), "c": array(1, 6, 1, 1)},
        "y",
        "Conv",
    ),
    (
        "convolution_and_map",
        [("Conv", "x w", "a", {}), ("Add", "a b", "y", {})],
        {"w": array(6, 4, 3, 3), "b": array(3, 3)},
        "y",
        "Add Conv",
    ),
]
ALL = [(*row, (2, 3, 4)) for row in ROWS] + [(*row, (2, 4, 5, 5)) for row in IMAGE_ROWS]


@pytest.mark.parametrize("name,nodes,constants,outputs,left,shape", ALL, ids=[row[0] for row in ALL])
def test_passes(name, nodes, constants, outputs, left, shape):
    model = build(nodes, constants, outputs.split(), shape)
    graph = OnnxGraph.from_model(model)
    run_passes(graph)
    result = graph.to_model()
    onnx.checker.check_model(result, full_check=True)
    assert sorted(node.op_type for node in result.graph.node) == left.split()
    assert [info.name for info in result.graph.output] == outputs.split()
    x = array(*shape)
    for before, after in zip(run(model, x), run(result, x), strict=True):
        assert np.abs(after - before).max() <= 1e-6 * np.abs(before).max()


def test_equal_constants_are_stored_once():
    model = build(
        [("Mul", "x b", "a", {}), ("Exp", "a", "r", {}), ("Mul", "r c", "y", {})],
        {"b": 2 * np.ones(4, np.float32), "c": 2 * np.ones(4, np.float32)},
        ["y"],
    )
    graph = OnnxGraph.from_model(model)
    run_passes(graph)
    assert len(graph.constants) == 1


def test_a_second_run_finds_nothing():
    for _, nodes, constants, outputs, _, shape in ALL:
        graph = OnnxGraph.from_model(build(nodes, constants, outputs.split(), shape))
        run_passes(graph)
        assert not any(change(graph) for change in PASSES.values())
