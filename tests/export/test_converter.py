"""Whole Cells: parity, folding, sub-graphs, overwritten values, and operator sets."""

import itertools

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Parameter, Tensor, nn, ops

from msnoah.errors import ConversionError
from msnoah.export.converter import mindir_to_onnx
from msnoah.export.ops.table import HANDLERS, handles

RNG = np.random.default_rng(0)
TOLERANCE = 1e-5
"""Relative to the largest output: float32 sums in another order."""


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def parameter(*shape: int) -> Parameter:
    return Parameter(Tensor(normal(*shape)))


class Attention(nn.Cell):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Dense(width, 3 * width), nn.Dense(width, width)
        self.bias_table = parameter(9, heads)
        self.bias_index = Tensor(RNG.integers(0, 9, 25).astype(np.int32))

    def construct(self, x):
        batch, count, width = x.shape
        qkv = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads).transpose(2, 0, 3, 1, 4)
        bias = self.bias_table[self.bias_index].reshape(5, 5, self.heads).transpose(2, 0, 1)
        weights = ops.softmax(ops.matmul(qkv[0] * 0.5, qkv[1].swapaxes(-1, -2)) + bias, -1)
        return self.proj(ops.matmul(weights, qkv[2]).swapaxes(1, 2).reshape(batch, count, width))


class Block(nn.Cell):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm((width,), epsilon=1e-6), Attention(width, heads)
        self.norm2, self.fc1, self.fc2 = (
            nn.LayerNorm((width,), epsilon=1e-6),
            nn.Dense(width, 2 * width),
            nn.Dense(2 * width, width),
        )
        self.act = nn.GELU(approximate=False)

    def construct(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class Transformer(nn.Cell):
    """A vision transformer of 4 patches and a class token."""

    def __init__(self, width: int = 8, heads: int = 2, depth: int = 2):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4, pad_mode="valid", has_bias=True)
        self.cls, self.pos = parameter(1, 1, width), parameter(1, 5, width)
        self.blocks = nn.SequentialCell([Block(width, heads) for _ in range(depth)])
        self.head = nn.Dense(width, 10)

    def construct(self, x):
        x = self.patch(x)
        batch, width = x.shape[:2]
        x = x.reshape(batch, width, -1).swapaxes(1, 2)
        x = ops.cat((ops.broadcast_to(self.cls, (batch, 1, width)), x), 1) + self.pos
        return self.head(self.blocks(x)[:, 0])


def export(cell: nn.Cell, folder, *inputs: np.ndarray) -> bytes:
    path = folder / f"net{len(list(folder.iterdir()))}.mindir"
    ms.export(cell, *[Tensor(x) for x in inputs], file_name=str(path), file_format="MINDIR")
    return path.read_bytes()


def run(model: onnx.ModelProto, *inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {info.name: x for info, x in zip(session.get_inputs(), inputs, strict=True)})[0]


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def difference(output: np.ndarray, expected) -> float:
    expected = expected.asnumpy()
    return float(np.abs(output - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def transformer(tmp_path_factory) -> tuple[nn.Cell, bytes]:
    cell = Transformer()
    return cell, export(cell, tmp_path_factory.mktemp("transformer"), normal(2, 3, 8, 8))


@pytest.mark.parametrize("opset", range(17, 23))
def test_transformer_in_every_operator_set(transformer, opset):
    cell, at_two = transformer
    model, x = mindir_to_onnx(at_two, opset=opset), normal(2, 3, 8, 8)
    assert difference(run(model, x), cell(Tensor(x))) < TOLERANCE
    assert ("Gelu" in operators(model)) == (opset >= 20) and ("Erf" in operators(model)) == (opset < 20)


def test_what_is_known_ends_in_initializers(transformer):
    model = mindir_to_onnx(transformer[1])
    names = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        assert any(name and name not in names for name in node.input), f"{node.name} computes with constants alone"
    products = [node for node in model.graph.node if node.op_type == "MatMul" and {*node.input} & names]
    assert len(products) == 2 * 4 + 1 and all(node.input[1] in names for node in products)
    assert operators(model).count("Reshape") == 1 + 2 * 2  # patches, heads apart, heads together


def test_runtime_recognises_gelu_and_layer_norm(transformer, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(mindir_to_onnx(transformer[1]).SerializeToString(), options)
    optimized = operators(onnx.load(tmp_path / "optimized.onnx"))
    assert "Erf" not in optimized and any("Gelu" in name for name in optimized)


class Dropped(nn.Cell):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def construct(self, x):
        return self.norm(x)


def test_training_mode_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="set_train"):
        mindir_to_onnx(export(Dropped().set_train(True), tmp_path, normal(2, 3, 4, 4)))


# --- the table


def test_a_second_handler_is_refused():
    with pytest.raises(ConversionError, match="Conv2D has a handler already"):
        handles("Conv2D")(lambda g, x: x)


def test_every_handler_has_a_builder_and_unique_parameters():
    for handler in HANDLERS.values():
        names = [p.name for p in itertools.chain(handler.inputs, handler.attributes)]
        assert len(set(names)) == len(names)
