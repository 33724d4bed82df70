"""Any Cell to ONNX: several inputs and outputs, modes, dynamic axes, verification, and what is refused."""

import numpy as np
import onnx
import pytest
from mindspore import Tensor, nn, ops

import msnoah.export
from msnoah.errors import ConversionError, VerificationError
from msnoah.export import cell_conversion
from msnoah.export.cell_conversion import export_onnx
from msnoah.export.reference_runs import run_cell
from msnoah.export.verification import run_onnx

RNG = np.random.default_rng(1)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


class Sentence(nn.Cell):
    """Integers, floats and a step for each row; outputs of several ranks, one nested; the table is no batch."""

    def __init__(self):
        super().__init__()
        self.embedding, self.drop, self.time = nn.Embedding(7, 8), nn.Dropout(p=0.9), nn.Dense(1, 8)

    def construct(self, ids, mask, step, table):
        x = self.drop(self.embedding(ids)) + self.time(step.reshape(-1, 1)).expand_dims(1) + table
        last = ops.cat((x, x), 0)[x.shape[0] - 1 :]
        return (x * mask.expand_dims(-1)).sum(1), (x, last)


def sentence(batch: int, tokens: int) -> list[np.ndarray]:
    ids = RNG.integers(0, 7, (batch, tokens)).astype(np.int32)
    return [ids, normal(batch, tokens), normal(batch), normal(8)]


class Image(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, 2, pad_mode="pad", padding=1), nn.BatchNorm2d(4)

    def construct(self, x):
        y = self.norm(self.conv(x))
        batch, channels, height, width = y.shape
        return y.reshape(batch, 2, channels // 2, height, width).swapaxes(1, 2).reshape(y.shape)


class PatchesOf4(nn.Cell):
    """Takes multiples of 4 alone."""

    def construct(self, x):
        batch, channels, height, width = x.shape
        x = x.reshape(batch, channels, height // 4, 4, width // 4, 4)
        return x.transpose(0, 2, 4, 1, 3, 5).reshape(batch, height * width // 16, channels * 16)


class Piecewise(nn.Cell):
    """One rule up to 24, another one beyond."""

    def construct(self, x):
        return x[:, :, : min(x.shape[2], 12)] if x.shape[2] > 12 else x[:, :, : x.shape[2]]


def dims(values) -> list[list]:
    return [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values]


def assert_same(model: onnx.ModelProto, cell: nn.Cell, inputs) -> None:
    for ours, theirs in zip(run_onnx(model)(inputs), run_cell(cell)(inputs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)  # sums of few products, in another order


@pytest.mark.parametrize(
    "dynamic,sizes,shapes",
    [
        (("batch",), [(1, 5), (6, 5)], [["batch", 5], ["batch", 5], ["batch"], [8]]),
        ({"batch": 0, "tokens": 1}, [(1, 5), (6, 9)], [["batch", "tokens"], ["batch", "tokens"], ["batch"], [8]]),
        ((), [(2, 5)], [[2, 5], [2, 5], [2], [8]]),
    ],
    ids=["batch", "batch_and_tokens", "fixed"],
)
def test_inputs_and_outputs_of_many_kinds(dynamic, sizes, shapes):
    cell = Sentence().set_train(True)
    names = ["ids", "mask", "step", "table"]
    model = export_onnx(cell, *map(Tensor, sentence(2, 5)), dynamic=dynamic, verify=True, input_names=names, opset=18)
    assert cell.training and cell.drop.training
    assert [value.name for value in model.graph.input] == names and dims(model.graph.input) == shapes
    assert [value.name for value in model.graph.output] == ["output_0", "output_1", "output_2"]
    assert model.opset_import[0].version == 18
    for size in sizes:
        assert_same(model, cell, sentence(*size))


def test_height_and_width(monkeypatch):
    tried = []
    original = cell_conversion._Family.try_at
    monkeypatch.setattr(cell_conversion._Family, "try_at", lambda *a: tried.append(a[2]) or original(*a))
    cell = Image().set_train(False)
    model = export_onnx(cell, normal(1, 3, 16, 24), dynamic=("batch", "height", "width"))
    assert dims(model.graph.output) == [["batch", 4, "(height+1)/2", "(width+1)/2"]]
    assert tried == [{"batch": 6, "height": 64, "width": 40}, {"batch": 7, "height": 81, "width": 49}]
    for shape in ((1, 3, 7, 100), (3, 3, 64, 11)):
        assert_same(model, cell, [normal(*shape)])


def test_what_takes_multiples_alone():
    model = export_onnx(PatchesOf4(), normal(1, 3, 8, 8), dynamic=("height", "width"))
    assert dims(model.graph.output) == [[2, "height*width/16", 48]] or dims(model.graph.output)[0][0] == 1
    assert_same(model, PatchesOf4(), [normal(1, 3, 20, 4)])


def test_a_graph_that_fails_at_a_further_size_is_refused():
    with pytest.raises(ConversionError, match="no expression|differs from Piecewise at|with other inputs"):
        export_onnx(Piecewise(), normal(2, 3, 8, 8), dynamic=("height",))


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"dynamic": ("depth",)}, "axis 'depth' has no place that is known"),
        ({"dynamic": ("height",)}, "dynamic axis 'height' needs an example input"),
        ({"opset": 9}, "opset 9"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConversionError, match=message):
        export_onnx(Sentence(), *sentence(2, 5), **arguments)


def test_a_free_batch_needs_a_first_axis():
    with pytest.raises(ConversionError, match="dynamic axis 'batch' needs"):
        export_onnx(Image(), np.float32(1))


def test_a_wrong_graph_does_not_verify(monkeypatch):
    convert = cell_conversion.make_axes_dynamic

    def tampered(models, axes):
        model = convert(models, axes)
        weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + 1, weight.name))
        return model

    monkeypatch.setattr(cell_conversion, "make_axes_dynamic", tampered)
    with pytest.raises(VerificationError, match=r"output 'output' differs from the Cell's at batch \d by"):
        export_onnx(Image(), normal(1, 3, 16, 24), verify=True)


def test_public_names_load():
    for name in msnoah.export.__all__:
        assert getattr(msnoah.export, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        msnoah.export.nothing  # noqa: B018
