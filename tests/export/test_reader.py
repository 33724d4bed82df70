"""Reading MindIR: stable names, and files that are damaged in every way."""

import os
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import onnx
import pytest
from mindspore import Tensor, nn

from msnoah.errors import ConversionError
from msnoah.export.converter import mindir_to_onnx
from msnoah.export.reader import readable_scope, short_name

INPUTS = np.zeros((2, 3, 4), np.float32), np.zeros((4,), np.float32)


class Block(nn.Cell):
    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.act, self.fc2 = (
            nn.Dense(width, 2 * width),
            nn.GELU(approximate=False),
            nn.Dense(2 * width, width),
        )

    def construct(self, x):
        return x + self.fc2(self.act(self.fc1(x)))


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.blocks = nn.SequentialCell([Block(4), Block(4)])

    def construct(self, image, scale):
        y = self.blocks(image) * scale
        return y, (image, y + 1.0)


@pytest.fixture(scope="module")
def mindir(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("mindir") / "net.mindir"
    ms.export(Net(), *[Tensor(x) for x in INPUTS], file_name=str(path), file_format="MINDIR")
    return path.read_bytes()


def test_names_are_readable(mindir):
    model = mindir_to_onnx(mindir)
    assert [i.name for i in model.graph.input] == ["image", "scale"]
    assert [o.name for o in model.graph.output] == ["output_0", "output_1", "output_2"]
    assert "blocks.0.fc1.MatMul" in {node.name for node in model.graph.node}
    assert "blocks.1.fc2.bias" in {tensor.name for tensor in model.graph.initializer}
    assert all(name.isascii() for node in model.graph.node for name in (node.name, *node.input, *node.output))


def test_names_can_be_given(mindir):
    model = mindir_to_onnx(mindir, input_names=["a", "b"], output_names=["x", "y", "z"])
    assert [i.name for i in model.graph.input] == ["a", "b"] and [o.name for o in model.graph.output] == ["x", "y", "z"]
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("names", [{"input_names": ["a"]}, {"output_names": ["x", "x", "y"]}, {"opset": 12}])
def test_wrong_arguments_are_refused(mindir, names):
    with pytest.raises(ConversionError):
        mindir_to_onnx(mindir, **names)


def test_the_same_network_gives_the_same_bytes(tmp_path):
    nets, models = (Net(), Net()), []
    for parameter, other in zip(nets[0].get_parameters(), nets[1].get_parameters(), strict=True):
        other.set_data(Tensor(parameter.asnumpy()))
    for index, net in enumerate(nets):
        path = tmp_path / f"net{index}.mindir"
        ms.export(net, *[Tensor(x) for x in INPUTS], file_name=str(path), file_format="MINDIR")
        models.append((path.read_bytes(), mindir_to_onnx(path).SerializeToString()))
    assert models[0][0] != models[1][0]  # MindIR's own names change from export to export.
    assert models[0][1] == models[1][1]


EXPORT = """
import sys, hashlib
sys.path.insert(0, sys.argv[1])
from test_reader import *
net = Net()
for index, parameter in enumerate(net.get_parameters()):
    parameter.set_data(Tensor(np.full(parameter.shape, index + 1, np.float32)))
ms.export(net, *[Tensor(x) for x in INPUTS], file_name=sys.argv[2], file_format="MINDIR")
print(hashlib.sha256(mindir_to_onnx(sys.argv[2]).SerializeToString()).hexdigest())
"""


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(tmp_path):
    paths = tmp_path / "first.mindir", tmp_path / "second.mindir"
    command = [sys.executable, "-c", EXPORT, str(Path(__file__).parent)]
    hashes = {subprocess.run([*command, str(path)], check=True, capture_output=True).stdout for path in paths}
    assert len(hashes) == 1


def test_a_path_and_its_bytes_are_the_same(mindir, tmp_path):
    path = tmp_path / "net.mindir"
    path.write_bytes(mindir)
    assert mindir_to_onnx(path).SerializeToString() == mindir_to_onnx(mindir).SerializeToString()


@pytest.mark.parametrize(
    "content,message",
    [
        (b"", "empty"),
        (bytes.fromhex("d85e3a7f") + b"\0" * 40, "encrypted"),
        (b"PK\x03\x04 no protobuf at all", "no MindIR"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "no MindIR"),
    ],
)
def test_what_is_no_mindir_is_refused(content, message):
    with pytest.raises(ConversionError, match=message):
        mindir_to_onnx(content)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="cannot be read"):
        mindir_to_onnx(tmp_path / "none.mindir")
    with pytest.raises(ConversionError, match="cannot be read"):
        mindir_to_onnx(tmp_path)


def test_an_encrypted_file_is_refused(tmp_path):
    ms.export(
        nn.ReLU(),
        Tensor(np.zeros(3, np.float32)),
        file_name=str(tmp_path / "secret"),
        file_format="MINDIR",
        enc_key=b"0123456789ABCDEF",
        enc_mode="AES-GCM",
    )
    with pytest.raises(ConversionError, match="enc_key"):
        mindir_to_onnx(tmp_path / "secret.mindir")


def edited(mindir: bytes, edit) -> bytes:
    from msnoah.export.schema import CLASSES

    model = CLASSES["Model"].FromString(mindir)
    edit(model)
    return model.SerializeToString()


def set_version(model):
    model.mind_ir_version = 99


def move_weights_out(model):
    model.graph.parameter[0].external_data.location = "net_variables/data_0"


def shorten_weights(model):
    model.graph.parameter[0].raw_data = model.graph.parameter[0].raw_data[:-4]


def free_batch(model):
    model.graph.input[0].tensor[0].dims[0] = -1


def use_complex(model):
    model.graph.parameter[0].data_type = 14


def compress_weights(model):
    model.graph.parameter[0].compression_type = 3


def write_big_endian(model):
    model.little_endian = False


def drop_version(model):
    model.mind_ir_version = 0


def pass_a_number(model):
    del model.graph.input[1].tensor[:]


def repeat_a_name(model):
    products = [node for node in model.graph.node if node.op_type.startswith("REF::MatMul")]
    products[1].output[0] = products[0].output[0]


def drop_primitives(model):
    del model.primitives[:]


def drop_constants(model):
    kept = [node for node in model.graph.node if node.op_type != "Constant"]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def rename_primitive(model):
    for primitive in model.primitives:
        if primitive.op_type in ("Erf", "MatMul"):
            primitive.op_type += "Mystery"


@pytest.mark.parametrize(
    "edit,message",
    [
        (set_version, "version 99"),
        (move_weights_out, "pass the path of the model"),
        (shorten_weights, "damaged"),
        (free_batch, "static shape"),
        (use_complex, "element type complex64"),
        (compress_weights, "fc1.weight' is compressed"),
        (write_big_endian, "big-endian"),
        (drop_version, "older than MindSpore 2.3"),
        (pass_a_number, "input 'scale' is no tensor"),
        (repeat_a_name, "defined twice"),
        (drop_primitives, "not in the file"),
        (drop_constants, "not in the file"),
        (rename_primitive, r"2 primitives: MatMulMystery \(4, first blocks.0.fc1.MatMulMystery\), ErfMystery \(2"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_converted_is_named(mindir, edit, message):
    with pytest.raises(ConversionError, match=message):
        mindir_to_onnx(edited(mindir, edit))


def test_a_program_without_end_is_refused(mindir, monkeypatch):
    monkeypatch.setattr("msnoah.export.interpreter.MAX_NODES", 3)
    with pytest.raises(ConversionError, match="over 3 primitives with all calls and loops written out"):
        mindir_to_onnx(mindir)


@pytest.mark.parametrize("part", range(20))
def test_a_cut_off_file_is_refused(mindir, part):
    # 13 bytes at the end hold the version; what is cut before it is never taken for a whole file.
    with pytest.raises(ConversionError):
        mindir_to_onnx(mindir[: 1 + len(mindir) * part // 20])


def test_a_flipped_byte_gives_an_error_or_a_valid_graph(mindir):
    """A byte inside a weight cannot be told from a weight; everywhere else it must never cost another exception."""
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.integers(0, len(mindir), 300):
        damaged = bytearray(mindir)
        damaged[position] ^= 1 << int(rng.integers(8))
        try:
            mindir_to_onnx(bytes(damaged))
        except ConversionError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 30


def test_reading_needs_no_mindspore(tmp_path):
    """As a user's second start finds it: bytecode is written once, and what a busy machine adds is left out."""
    code = (
        "import sys, numpy, onnx, google.protobuf, time; start = time.process_time(); import msnoah.export.converter; "
        "assert 'mindspore' not in sys.modules; print(time.process_time() - start)"
    )
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True, env=environment) for _ in range(4)]
    assert min(float(run.stdout) for run in runs) < 0.3


@pytest.mark.parametrize(
    "domain,scope",
    [
        ("Default/blocks-SequentialCell/0-Block/attn-Attention/qkv-Dense/MatMul-op0", "blocks.0.attn.qkv"),
        ("Default/Add-op0", ""),
        ("", ""),
        ("1", ""),
        ("Default/слой-Dense/Add-op1", "____"),
    ],
)
def test_scope(domain, scope):
    assert readable_scope(domain) == scope


def test_short_name():
    assert short_name("310_309_1___main___ViT_construct_55:x") == "x" and short_name("x") == "x"
