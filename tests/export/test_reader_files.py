"""MindIR in several files, as MindSpore writes it above 1 GB, and element types."""

import os
from pathlib import Path

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import Parameter, Tensor, nn, ops

from msnoah.errors import ConversionError
from msnoah.export.converter import mindir_to_onnx
from msnoah.export.schema import CLASSES

IMAGE = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
HEADER = 64


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Dense(4, 5), nn.Dense(5, 3)

    def construct(self, image):
        return self.fc2(ops.relu(self.fc1(image)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mindir") / "net.mindir"
    ms.export(Net(), Tensor(IMAGE), file_name=str(path), file_format="MINDIR")
    return path


@pytest.fixture
def split(whole, tmp_path) -> Path:
    """The same model as MindSpore splits it: parameters at multiples of 64 bytes, in two data files."""
    model = CLASSES["Model"].FromString(whole.read_bytes())
    folder = tmp_path / "net_variables"
    folder.mkdir()
    for number in (0, 1):
        contents = bytearray(b"\1" + bytes(HEADER - 1))
        for tensor in model.graph.parameter[2 * number:2 * number + 2]:
            entry = tensor.external_data
            entry.location, entry.offset = f"net_variables/data_{number}", len(contents)
            entry.length = len(tensor.raw_data)
            contents += tensor.raw_data + bytes(-len(tensor.raw_data) % HEADER)
            tensor.raw_data = b""
        (folder / f"data_{number}").write_bytes(contents)
    path = tmp_path / "net_graph.mindir"
    path.write_bytes(model.SerializeToString())
    return path


def edit_first(path: Path, **fields) -> Path:
    model = CLASSES["Model"].FromString(path.read_bytes())
    for name, value in fields.items():
        setattr(model.graph.parameter[0].external_data, name, value)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_split_model_is_the_whole_model(whole, split):
    assert mindir_to_onnx(split).SerializeToString() == mindir_to_onnx(whole).SerializeToString()


def test_the_name_given_to_export_finds_a_split_model(whole, split):
    found = mindir_to_onnx(str(split.with_name("net.mindir")))
    assert found.SerializeToString() == mindir_to_onnx(whole).SerializeToString()


def test_a_split_model_may_be_moved(whole, split, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    os.rename(split, tmp_path / "elsewhere/renamed.mindir")
    os.rename(tmp_path / "net_variables", tmp_path / "elsewhere/net_variables")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert mindir_to_onnx("renamed.mindir").SerializeToString() == mindir_to_onnx(whole).SerializeToString()


def test_contents_alone_are_not_enough(split):
    with pytest.raises(ConversionError, match="'net_variables/data_0'; pass the path"):
        mindir_to_onnx(split.read_bytes())


def test_a_missing_data_file_is_named(split):
    (split.parent / "net_variables/data_1").unlink()
    with pytest.raises(ConversionError, match="parameter 'fc2.weight' lies in 'net_variables/data_1', which is not in"):
        mindir_to_onnx(split)


@pytest.mark.parametrize("length", [0, 1, HEADER, 100])
def test_a_cut_data_file_is_refused(split, length):
    data = split.parent / "net_variables/data_0"
    data.write_bytes(data.read_bytes()[:length])
    with pytest.raises(ConversionError, match="parameter 'fc1.weight' is at bytes 64 to 144.*cut off"):
        mindir_to_onnx(split)


def test_data_of_a_big_endian_machine_is_refused(split):
    data = split.parent / "net_variables/data_0"
    data.write_bytes(b"\0" + data.read_bytes()[1:])
    with pytest.raises(ConversionError, match="big-endian"):
        mindir_to_onnx(split)


@pytest.mark.parametrize(
    "fields,message",
    [
        ({"offset": -1}, "cut off"),
        ({"offset": 0}, "cut off"),
        ({"offset": 2**62, "length": 2**62}, "cut off"),
        ({"length": -16}, "cut off"),
        ({"length": 79}, "needs 80 bytes, 79 are stored"),
        ({"location": "../secret"}, "outside the model's folder"),
        ({"location": "/etc/passwd"}, "outside the model's folder"),
        ({"location": "net_variables/../../secret"}, "outside the model's folder"),
        ({"location": "net_variables/link"}, "outside the model's folder"),
        ({"location": "net_variables"}, "is not in"),
        ({"location": "."}, "outside the model's folder"),
        ({"location": "a\0b\n"}, "no name of a file"),
        ({"location": "a" * 5000}, "no name of a file"),
    ],
)
def test_wrong_places_are_refused(split, fields, message):
    (split.parent / "net_variables/link").symlink_to("/etc/passwd")
    with pytest.raises(ConversionError, match=message) as caught:
        mindir_to_onnx(edit_first(split, **fields))
    assert "\n" not in str(caught.value)


class Scale(nn.Cell):
    def __init__(self, dtype):
        super().__init__()
        self.weight = Parameter(Tensor(np.array([1, 0, 2.5]), dtype))

    def construct(self, x):
        return x * self.weight


TYPES = [ms.int8, ms.int16, ms.int32, ms.int64, ms.uint8, ms.float16, ms.float32, ms.float64]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_element_types(dtype, tmp_path):
    cell, x = Scale(dtype), Tensor(np.array([2, 3, 4]), dtype)
    ms.export(cell, x, file_name=str(tmp_path / "net"), file_format="MINDIR")
    model = mindir_to_onnx(tmp_path / "net.mindir")
    assert np.array_equal(run(model, x.asnumpy()), cell(x).asnumpy())


def test_bfloat16_is_computed_in_float32(tmp_path):
    x = IMAGE[0, :3]
    ms.export(Scale(ms.bfloat16), Tensor(x, ms.bfloat16), file_name=str(tmp_path / "net"), file_format="MINDIR")
    model = mindir_to_onnx(tmp_path / "net.mindir")
    assert np.array_equal(run(model, x), x * np.array([1, 0, 2.5], np.float32))


@pytest.mark.parametrize("dtype", [ms.complex64, ms.complex128], ids=str)
def test_complex_numbers_are_refused(dtype, tmp_path):
    ms.export(Scale(dtype), Tensor(np.ones(3), dtype), file_name=str(tmp_path / "net"), file_format="MINDIR")
    with pytest.raises(ConversionError, match="element type complex"):
        mindir_to_onnx(tmp_path / "net.mindir")


class Relu(nn.Cell):
    def construct(self, image):
        return ops.relu(image)


class NonZero(nn.Cell):
    def construct(self, image):
        return ops.nonzero(image)


@pytest.mark.parametrize(
    "cell,shape,message",
    [
        (Relu, [None, 3], "input 'image' has shape .*static shapes"),
        (Relu, None, "input 'image' has shape .*static shapes"),
        (NonZero, [2, 3], "NonZero"),
    ],
)
def test_open_shapes_are_refused(cell, shape, message, tmp_path):
    ms.export(cell(), Tensor(shape=shape, dtype=ms.float32), file_name=str(tmp_path / "net"), file_format="MINDIR")
    with pytest.raises(ConversionError, match=message):
        mindir_to_onnx(tmp_path / "net.mindir")


def run(model, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})[0]
