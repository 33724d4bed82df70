"""Multiply-accumulates against counts by hand, and what has no count."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from msnoah.errors import ConversionError
from msnoah.export.complexity import count_macs, count_weights


def build(nodes, weights: dict[str, tuple[int, ...]], x=("batch", 8, 10, 10)) -> onnx.ModelProto:
    """A model of one input x and weights of zeros."""
    constants = [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()]
    constants.append(numpy_helper.from_array(np.array([0, -1]), "flat"))
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, x)
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "test", [image], [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind: str, inputs: str, output: str = "y", **attributes) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


# name: nodes, weights, multiply-accumulates at batch 1
ROWS = {
    "convolution": ([node("Conv", "x w b", pads=[1, 1, 1, 1])], {"w": (16, 8, 3, 3), "b": (16,)}, 10 * 10 * 16 * 8 * 9),
    "strided": ([node("Conv", "x w", strides=[2, 2])], {"w": (16, 8, 2, 2)}, 5 * 5 * 16 * 8 * 4),
    "depthwise": ([node("Conv", "x w", group=8)], {"w": (8, 1, 3, 3)}, 8 * 8 * 8 * 9),
    # Every pixel read is multiplied with 2x2 taps of each of 16 channels.
    "transposed": ([node("ConvTranspose", "x w", strides=[2, 2])], {"w": (8, 16, 2, 2)}, 10 * 10 * 8 * 16 * 4),
    "product": ([node("MatMul", "x w")], {"w": (10, 7)}, 8 * 10 * 10 * 7),
    "two_variables": ([node("Transpose", "x", "t", perm=[0, 1, 3, 2]), node("MatMul", "x t")], {}, 8 * 10 * 10 * 10),
    "gemm": ([node("Reshape", "x flat", "r"), node("Gemm", "r w b", transB=1)], {"w": (6, 800), "b": (6,)}, 800 * 6),
    "einsum": ([node("Einsum", "x w", equation="bchw, wk -> bhk")], {"w": (10, 3)}, 8 * 10 * 10 * 3),
    "no_products": ([node("Relu", "x")], {}, 0),
}


@pytest.mark.parametrize("nodes,weights,expected", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("batch", [1, 3])
def test_counts_are_those_by_hand(nodes, weights, expected, batch):
    model = build(nodes, weights)
    before = model.SerializeToString()
    assert sum(count_macs(model, batch).values()) == expected * batch
    assert model.SerializeToString() == before
    assert count_weights(model) == sum(np.prod(shape) for shape in weights.values())


def test_a_recurrence_multiplies_in_every_step():
    nodes = [node("LSTM", "x w r", "y", hidden_size=6)]
    assert count_macs(build(nodes, {"w": (1, 24, 5), "r": (1, 24, 6)}, (7, 2, 5))) == {"LSTM": 7 * 2 * 24 * (5 + 6)}


def test_operators_are_counted_apart_the_largest_first():
    nodes = [node("MatMul", "x m", "p"), node("Conv", "p w", "q"), node("Relu", "q", "r"), node("Conv", "r w", "y")]
    counts = count_macs(build(nodes, {"m": (10, 10), "w": (8, 8, 1, 1)}))
    assert list(counts.items()) == [("Conv", 2 * 100 * 64), ("MatMul", 8 * 1000)]


def test_a_fixed_batch_stays():
    model = build([node("Conv", "x w")], {"w": (4, 8, 1, 1)}, (2, 8, 5, 5))
    assert count_macs(model, batch=3) == {"Conv": 2 * 4 * 25 * 8}


def test_what_has_no_count_is_one_line():
    open_width = build([node("Conv", "x w")], {"w": (4, 8, 1, 1)}, ("batch", 8, 5, "width"))
    with pytest.raises(ConversionError, match="Conv 'y': the size of 'x' is open"):
        count_macs(open_width)
    ellipsis = build([node("Einsum", "x w", equation="...w,wk->...k")], {"w": (10, 3)})
    with pytest.raises(ConversionError, match="unnamed"):
        count_macs(ellipsis)
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    body = helper.make_graph([node("MatMul", "x w", "z")], "body", [], [value])
    constant = numpy_helper.from_array(np.array(True))
    branches = [node("Constant", "", "c", value=constant), node("If", "c", then_branch=body, else_branch=body)]
    with pytest.raises(ConversionError, match="If '' holds MatMul"):
        count_macs(build(branches, {"w": (10, 3)}))
