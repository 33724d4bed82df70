"""A small float graph with every product that is quantised, and how graphs are run and compared."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = (3, 8, 8)


def make_graph(**changes):
    """image (batch, 3, 8, 8) -> Conv, Relu, Conv, Add, ConvTranspose, Reshape, MatMul, MatMul of two values, Gemm ->
    logits (batch, 5). `changes` are constants in place of random ones, by name."""
    random = np.random.default_rng(0)
    shapes = {"stem.weight": (4, 3, 3, 3), "stem.bias": (4,), "body.weight": (4, 4, 1, 1), "up.weight": (4, 2, 2, 2),
              "up.bias": (2,), "token.weight": (16, 16), "head.weight": (5, 16), "head.bias": (5,)}
    constants = {name: random.standard_normal(shape).astype(np.float32) / 2 for name, shape in shapes.items()} | changes
    constants |= {"rows": np.array([0, -1, 16], np.int64), "first": np.array(0, np.int64)}
    make = helper.make_node
    nodes = [
        make("Conv", ["image", "stem.weight", "stem.bias"], ["stem"], "stem.Conv", pads=[1, 1, 1, 1]),
        make("Relu", ["stem"], ["relu"], "Relu"),
        make("Conv", ["relu", "body.weight"], ["body"], "body.Conv"),
        make("Add", ["body", "relu"], ["sum"], "Add"),
        make("ConvTranspose", ["sum", "up.weight", "up.bias"], ["up"], "up.ConvTranspose", strides=[2, 2]),
        make("Reshape", ["up", "rows"], ["tokens"], "Reshape"),
        make("MatMul", ["tokens", "token.weight"], ["mixed"], "token.MatMul"),
        make("Transpose", ["mixed"], ["turned"], "Transpose", perm=[0, 2, 1]),
        make("MatMul", ["turned", "tokens"], ["context"], "product.MatMul"),
        make("Gather", ["context", "first"], ["row"], "Gather", axis=1),
        make("Gemm", ["row", "head.weight", "head.bias"], ["logits"], "head.Gemm", transB=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *SHAPE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 5])
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    return finish(nodes, [image], [logits], tensors)


def finish(nodes, inputs, outputs, tensors):
    """A model of opset 17 with the types of its values."""
    graph = helper.make_graph(nodes, "small", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def images(count=16, seed=1):
    """(count, 3, 8, 8) float32."""
    return np.random.default_rng(seed).standard_normal((count, *SHAPE)).astype(np.float32)


def noise_db(found, reference):
    """Energy of the reference over that of the difference, in decibels."""
    found, reference = found.astype(np.float64), reference.astype(np.float64)
    return 10 * np.log10(np.square(reference).sum() / max(np.square(found - reference).sum(), 1e-30))


def constants_of(model):
    """Constants by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
