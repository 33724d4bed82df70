"""int8 graphs: what is quantised, how exact it is, and that all that is not stays as it was."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantized_graphs import constants_of, finish, images, make_graph, noise_db

from msnoah.export.activation_ranges import find_ranges
from msnoah.export.model_edits import name_nodes
from msnoah.export.quantization import list_products, list_values, quantize_nodes
from msnoah.export.verification import run_onnx

PRODUCTS = ["stem.Conv", "body.Conv", "up.ConvTranspose", "token.MatMul", "product.MatMul", "head.Gemm"]


def quantize(model, nodes, **options):
    ranges = find_ranges(model, list_values(model, nodes), lambda: [images()])
    quantized = quantize_nodes(model, ranges, nodes, **options)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def difference_db(model, quantized, feed=None):
    feed = images() if feed is None else feed
    return noise_db(run_onnx(quantized)([feed])[0], run_onnx(model)([feed])[0])


def test_products_of_float32_are_found():
    assert [node.name for node in list_products(make_graph())] == PRODUCTS


@pytest.mark.parametrize("nodes, least_db", [([name], 35) for name in PRODUCTS] + [(PRODUCTS, 28)])
def test_answers_stay_close(nodes, least_db):
    """8 bits over the range of a normal distribution are about 40 dB; six products in a row lose more."""
    model = make_graph()
    quantized = quantize(model, nodes)
    assert difference_db(model, quantized) > least_db
    assert quantized != model and any(node.op_type == "QuantizeLinear" for node in quantized.graph.node)


def test_seven_bits_lose_more_but_not_much():
    model = make_graph()
    eight, seven = (difference_db(model, quantize(model, PRODUCTS, weight_bits=bits)) for bits in (8, 7))
    assert 22 < seven < eight
    weights = constants_of(quantize(model, PRODUCTS, weight_bits=7))["stem.Conv.weight.quantized"]
    assert np.abs(weights).max() == 63


@pytest.mark.parametrize("node, count, axis", [("stem.Conv", 4, 0), ("token.MatMul", 16, 1), ("head.Gemm", 5, 0)])
def test_every_output_channel_has_a_scale(node, count, axis):
    quantized = quantize(make_graph(), [node])
    scale = constants_of(quantized)[f"{node}.weight.scale"]
    reader = next(one for one in quantized.graph.node if one.name == f"{node}.weight.DequantizeLinear")
    assert scale.shape == (count,) and len(set(scale)) == count
    assert [attribute.i for attribute in reader.attribute] == [axis]


def test_a_channel_of_small_weights_keeps_its_bits():
    weights = np.ones((4, 3, 3, 3), np.float32)
    weights[0] *= 1e-4
    found = constants_of(quantize(make_graph(**{"stem.weight": weights}), ["stem.Conv"]))["stem.Conv.weight.quantized"]
    assert np.abs(found).max(axis=(1, 2, 3)).tolist() == [127] * 4


@pytest.mark.parametrize("weights, bias", [(1e-9, 3.0), (0.0, 1.0), (1.0, 1e6)])
def test_a_bias_never_overflows(weights, bias):
    """The scale of a bias is that of weights times inputs: tiny weights would have it exceed 32 bits."""
    model = make_graph(**{"stem.weight": np.full((4, 3, 3, 3), weights, np.float32),
                          "stem.bias": np.full(4, bias, np.float32)})
    quantized = quantize(model, ["stem.Conv"])
    assert np.abs(constants_of(quantized)["stem.Conv.bias.quantized"]).max() < 1.001 * 2**30   # its scale is a float32
    assert difference_db(model, quantized) > 35


def test_numbers_on_the_grid_come_through_as_they_are():
    """Inputs and weights that are whole multiples of their scales: nothing is rounded but the result, once."""
    weights = np.zeros((4, 3, 3, 3), np.float32)
    weights[:, 0, 1, 1] = [1, 2, 4, 127]
    model = make_graph(**{"stem.weight": weights, "stem.bias": np.zeros(4, np.float32)})
    feed = np.tile(np.arange(256, dtype=np.float32).reshape(-1, 1, 1, 1), (1, 3, 8, 8))
    ranges = {name: (0.0, 255.0) for name in list_values(model, ["stem.Conv"])} | {"relu": (0.0, 127 * 255.0)}
    quantized = quantize_nodes(model, ranges, ["stem.Conv"])
    watched = onnx.ModelProto()
    watched.CopyFrom(quantized)
    watched.graph.output.append(helper.make_empty_tensor_value_info("relu.dequantized"))
    found = run_onnx(watched)([feed])[1]
    exact = feed[:, :1] * np.array([1, 2, 4, 127], np.float32).reshape(1, 4, 1, 1)
    assert np.abs(found - exact).max() <= 127 / 2 + 1e-3   # half a step of the result's own scale, which is 127


def test_a_relu_alone_behind_a_convolution_is_within_its_pair():
    quantized = quantize(make_graph(), ["stem.Conv"])
    readers = {node.name: list(node.input) for node in quantized.graph.node}
    assert readers["Relu"] == ["stem"] and readers["relu.QuantizeLinear"][0] == "relu"
    assert readers["body.Conv"][0] == readers["Add"][1] == "relu.dequantized"


def test_others_read_what_was_not_quantised():
    """`tokens` goes into a product in int8, and into one that stays float."""
    quantized = quantize(make_graph(), ["token.MatMul"])
    readers = {node.name: list(node.input) for node in quantized.graph.node}
    assert readers["token.MatMul"][0] == "tokens.dequantized" and readers["product.MatMul"][1] == "tokens"
    assert "token.weight" not in constants_of(quantized) and "stem.weight" in constants_of(quantized)


def test_a_result_of_the_graph_keeps_its_name():
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2, 8, 8])
    weights = numpy_helper.from_array(np.random.default_rng(0).standard_normal((2, 3, 1, 1)).astype(np.float32), "w")
    nodes = [helper.make_node("Conv", ["image", "w"], ["logits"], "head.Conv")]
    model = finish(nodes, [image], [result], [weights])
    quantized = quantize(model, ["head.Conv"])
    assert [value.name for value in quantized.graph.output] == ["logits"] and difference_db(model, quantized) > 30


def test_a_body_still_reads_what_it_read():
    """A Loop, as in label maps, reads a convolution's result and a constant of the graph around it."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Add", ["held", "stem"], ["twice"]),
         helper.make_node("Mul", ["twice", "stem.factor"], ["result"])], "body",
        [helper.make_tensor_value_info("step", TensorProto.INT64, []),
         helper.make_tensor_value_info("going", TensorProto.BOOL, []),
         helper.make_tensor_value_info("held", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("result", TensorProto.FLOAT, None)])
    random = np.random.default_rng(0)
    tensors = {"stem.weight": random.standard_normal((4, 3, 1, 1)).astype(np.float32), "count": np.array(2, np.int64),
               "stem.factor": np.array(0.5, np.float32), "yes": np.array(True)}
    nodes = [helper.make_node("Conv", ["image", "stem.weight"], ["stem"], "stem.Conv"),
             helper.make_node("Loop", ["count", "yes", "stem"], ["logits"], "Loop", body=body)]
    model = finish(nodes, [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
                   [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4, 8, 8])],
                   [numpy_helper.from_array(array, name) for name, array in tensors.items()])
    assert difference_db(model, quantize(model, ["stem.Conv"])) > 30


def test_weights_that_two_products_share():
    model = make_graph()
    model.graph.node.append(helper.make_node("MatMul", ["context", "token.weight"], ["again"], "again.MatMul"))
    model.graph.output.append(helper.make_tensor_value_info("again", TensorProto.FLOAT, ["batch", 16, 16]))
    assert difference_db(model, quantize(model, [*PRODUCTS, "again.MatMul"])) > 28


def test_nodes_get_names_of_their_own():
    model = make_graph()
    for node in model.graph.node:
        node.name = "same"
    name_nodes(model)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names) and names[0] == "same"


@pytest.mark.parametrize("change", [{"stem.weight": np.zeros((4, 3, 3, 3), np.float32)},
                                    {"head.bias": np.zeros(5, np.float32)}])
def test_zeros(change):
    model = make_graph(**change)
    assert np.isfinite(run_onnx(quantize(model, PRODUCTS))([images()])[0]).all()
