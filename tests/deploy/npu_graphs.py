"""Small ONNX graphs for the tests of NPU targets."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 8


def write_graph(path: Path, nodes, inputs, outputs, weights=(), opset: int = 17) -> Path:
    """Writes a model; `inputs` and `outputs` are {name: (element type, shape)}, `weights` {name: array}."""
    infos = [[helper.make_tensor_value_info(name, *spec) for name, spec in side.items()] for side in (inputs, outputs)]
    tensors = [numpy_helper.from_array(array, name) for name, array in dict(weights).items()]
    graph = helper.make_graph(nodes, "graph", *infos, initializer=tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path


def vit_block(path: Path, normed: bool = True, batch: str | int = "batch") -> Path:
    """x (B, 4, 8) -> [LayerNormalization ->] attention of one head and a residual sum -> y."""
    random = np.random.default_rng(0)
    weights = {name: random.standard_normal((WIDTH, WIDTH)).astype(np.float32) for name in ("wq", "wk", "wv")}
    weights |= {"scale": np.ones(WIDTH, np.float32), "shift": np.zeros(WIDTH, np.float32)}
    read = "n" if normed else "x"
    norm = helper.make_node("LayerNormalization", ["x", "scale", "shift"], ["n"], "blocks.0.norm1.LayerNormalization")
    nodes = [norm] if normed else []
    nodes += [helper.make_node("MatMul", [read, f"w{c}"], [c], f"blocks.0.attn.{c}.MatMul") for c in "qkv"]
    nodes += [
        helper.make_node("Transpose", ["k"], ["t"], "blocks.0.attn.Transpose", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "t"], ["s"], "blocks.0.attn.MatMul"),
        helper.make_node("Softmax", ["s"], ["p"], "blocks.0.attn.Softmax", axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["o"], "blocks.0.attn.MatMul_1"),
        helper.make_node("Add", ["x", "o"], ["y"], "blocks.0.Add"),
    ]
    spec = (TensorProto.FLOAT, (batch, 4, WIDTH))
    return write_graph(path, nodes, {"x": spec}, {"y": spec}, weights)


def one_node(path: Path, op_type: str, inputs, outputs, weights=(), opset: int = 17, **attributes) -> Path:
    """A graph of one node `one.part.<op_type>`; the weights are its last inputs."""
    names = [*inputs, *dict(weights)]
    node = helper.make_node(op_type, names, list(outputs), f"one.part.{op_type}", **attributes)
    return write_graph(path, [node], inputs, outputs, weights, opset)


def with_loop(path: Path) -> Path:
    """A Loop of three rounds whose body holds TopK."""
    state = (TensorProto.FLOAT, (1, 4))
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]),
         helper.make_node("TopK", ["now", "k"], ["best", "place"], "loop.TopK"),
         helper.make_node("Add", ["now", "now"], ["then"], "loop.Add")],
        "body",
        [helper.make_tensor_value_info("round", TensorProto.INT64, ()),
         helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
         helper.make_tensor_value_info("now", *state)],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, ()), helper.make_tensor_value_info("then", *state)],
    )
    node = helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], "head.Loop", body=body)
    weights = {"rounds": np.array(3), "yes": np.array(True), "k": np.array([2])}
    return write_graph(path, [node], {"x": state}, {"y": state}, weights)


def with_if(path: Path) -> Path:
    """An If that adds or subtracts."""
    spec = (TensorProto.FLOAT, (1, 4))
    branches = [
        helper.make_graph([helper.make_node(kind, ["x", "x"], [kind], f"head.{kind}")], kind, [],
                          [helper.make_tensor_value_info(kind, *spec)]) for kind in ("Add", "Sub")]
    node = helper.make_node("If", ["c"], ["y"], "head.If", then_branch=branches[0], else_branch=branches[1])
    return write_graph(path, [node], {"x": spec, "c": (TensorProto.BOOL, ())}, {"y": spec})
