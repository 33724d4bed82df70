"""Exported graphs of vision transformers that merge tokens: which operators they hold, and that all sizes are known."""

from collections import Counter

import numpy as np
import onnx
import pytest

from msnoah.export import export_onnx
from msnoah.export.complexity import count_macs
from msnoah.nn.fusing import fuse
from msnoah.nn.gathering_token_merging import with_gathering
from msnoah.registry import create_model

SMALL = {"image_size": 48, "embed_dim": 16, "num_heads": 2, "depth": 3, "num_classes": 5}
TOKENS = 10
"""A class token and 3x3 patches; two are merged by the first block and two by the second, what the last one merges
nothing reads."""
TRANSFORMER = {
    "Add", "Cast", "Concat", "Conv", "Div", "Erf", "Gather", "LayerNormalization", "Log", "MatMul", "Mul", "ReduceSum",
    "Reshape", "Shape", "Slice", "Softmax", "Sqrt", "Sum", "Tile", "Transpose", "Unsqueeze",
}
COMPUTING = TRANSFORMER | {"Abs", "ReduceMax", "Relu", "Sign", "Split", "Sub"} - {"Cast"}
SORTING = TRANSFORMER | {"ArgMax", "Equal", "GatherElements", "GatherND", "ReduceMax", "Split", "TopK"}
FORMS = {"matrix": (lambda cell: cell, (), COMPUTING), "gather": (with_gathering, ("batch",), SORTING)}
"""What gives a form its Cells, the free axes (each costs compilations), and the operators that it may have."""


@pytest.fixture(scope="module", params=["gather", pytest.param("matrix", marks=pytest.mark.slow)])
def graph(request) -> tuple[onnx.ModelProto, set[str]]:
    form, dynamic, operators = FORMS[request.param]
    image = np.random.default_rng(0).standard_normal((1, 3, 48, 48), np.float32)
    cell = form(fuse(create_model("deit_tiny_patch16_224", tokens_merged=2, **SMALL)))
    return export_onnx(cell, image, dynamic=dynamic), operators


def test_graph_holds_what_its_runtimes_have(graph):
    model, operators = graph
    found = Counter(node.op_type for node in model.graph.node)
    assert set(found) <= operators
    assert found["TopK"] in (0, 2 * 2) and found["Softmax"] == 3 * SMALL["num_heads"]
    constants = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert all(np.isfinite(array).all() for array in constants if array.dtype.kind == "f")


def test_every_size_but_the_batch_is_known(graph):
    model, _ = graph
    tiled = {name for node in model.graph.node if node.op_type in ("Tile", "Shape") for name in node.output}
    shapes = {info.name: [dim.dim_value or dim.dim_param for dim in info.type.tensor_type.shape.dim]
              for info in (*model.graph.value_info, *model.graph.output)}
    outputs = [name for node in model.graph.node for name in node.output if name and name not in tiled]
    unknown = [name for name in outputs if not all(isinstance(size, int) for size in shapes.get(name, [None])[1:])]
    assert not unknown
    lengths = {shape[1] for shape in shapes.values() if len(shape) == 3 and shape[2] == SMALL["embed_dim"] * 4}
    assert lengths == {TOKENS - 2, TOKENS - 4, 1}, "MLPs see what is left, the last one the class token"


def test_multiplications_can_be_counted(graph):
    model, _ = graph
    is_open = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    one, three = (sum(count_macs(model, batch).values()) for batch in (1, 3))
    assert three == one * (3 if is_open else 1)
