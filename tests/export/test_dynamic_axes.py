"""One graph from conversions at several sizes: what differs is computed from the input's shape, or refused by name."""

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn, ops

from msnoah.errors import ConversionError
from msnoah.export.converter import mindir_to_onnx
from msnoah.export.dynamic_axes import make_axes_dynamic
from msnoah.export.size_expressions import Dimension, find_expression

RNG = np.random.default_rng(0)
TOLERANCE = 1e-5
"""Relative to the largest output: float32 sums in another order."""

IMAGE_AXES = ("batch", "height", "width")
MULTIPLES = [(2, 16, 24), (3, 16, 24), (2, 32, 24), (2, 16, 40), (4, 48, 56)]
ODD = [(2, 33, 33), (2, 47, 63)]


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


class Tokens(nn.Cell):
    """A class token, attention between patches, a mask that is repeated for each image."""

    def __init__(self):
        super().__init__()
        self.patch, self.qkv = nn.Conv2d(3, 8, 4, 4, pad_mode="valid"), nn.Dense(8, 24)
        self.cls, self.mask = Tensor(normal(1, 1, 8)), Tensor(normal(2, 5, 5))

    def construct(self, x):
        x = self.patch(x)
        batch = x.shape[0]
        x = x.reshape(batch, 8, -1).swapaxes(1, 2)
        x = ops.cat((ops.broadcast_to(self.cls, (batch, 1, 8)), x), 1)
        q, k, v = self.qkv(x).reshape(batch, 5, 3, 2, 4).transpose(2, 0, 3, 1, 4)
        scores = ops.matmul(q, k.swapaxes(-1, -2)).reshape(batch * 2, 5, 5) + ops.tile(self.mask, (batch, 1, 1))
        return ops.matmul(ops.softmax(scores, -1).reshape(batch, 2, 5, 5), v)


class Windows(nn.Cell):
    """Windows of 2x2 as part of the batch, a mask for each, and outputs with two and eight times the batch."""

    def __init__(self):
        super().__init__()
        self.mask = Tensor(normal(4, 4, 3))

    def construct(self, x):
        batch = x.shape[0]
        x = x.reshape(batch, 2, 2, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(batch * 4, 4, 3)
        x = x + ops.tile(self.mask, (batch, 1, 1))
        both = ops.cat((x, x), 0)
        return both.reshape(2, batch, 4, 4, 3), both[: 2 * batch], both


class Image(nn.Cell):
    """Strides that round up, tokens and back, shuffled channels, a slice and a broadcast to a smaller map."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, pad_mode="pad", padding=1)
        self.second = nn.Conv2d(8, 8, 3, 2, pad_mode="pad", padding=1)
        self.dense, self.pool = nn.Dense(8, 8), nn.AdaptiveAvgPool2d(1)
        self.same = nn.SequentialCell(
            nn.Conv2d(8, 8, 3, 2, pad_mode="same"),
            nn.MaxPool2d(3, 2, pad_mode="same"),
            nn.AvgPool2d(2, 2, pad_mode="same"),
        )

    def construct(self, x):
        x = ops.relu(self.first(x))
        y = self.second(x)
        batch, channels, height, width = y.shape
        tokens = self.dense(y.reshape(batch, channels, height * width).swapaxes(1, 2))
        y = tokens.swapaxes(1, 2).reshape(batch, channels, height, width)
        x = x.reshape(batch, 2, 4, x.shape[2], x.shape[3]).swapaxes(1, 2).reshape(x.shape)
        wide = ops.broadcast_to(y.mean((2, 3), keep_dims=True), y.shape)
        return self.pool(x), self.same(x), x[:, :, :height, 1 : width + 1] + y, wide


def convert(cell: nn.Cell, folder, shapes, **options) -> list[onnx.ModelProto]:
    models = []
    for number, shape in enumerate(shapes):
        path = folder / f"net{number}.mindir"
        ms.export(cell, Tensor(np.zeros(shape, np.float32)), file_name=str(path), file_format="MINDIR")
        models.append(mindir_to_onnx(path, **options))
    return models


def shapes_of(values) -> list[list]:
    return [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values]


def assert_same(model: onnx.ModelProto, cell: nn.Cell, shapes) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for shape in shapes:
        x = normal(*shape)
        expected = cell(Tensor(x))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for output, reference in zip(session.run(None, {"x": x}), expected, strict=True):
            reference = reference.asnumpy()
            assert output.shape == reference.shape
            assert np.abs(output - reference).max() <= TOLERANCE * np.abs(reference).max()


def test_one_graph_for_every_batch(tmp_path):
    cell = Tokens()
    model = make_axes_dynamic(convert(cell, tmp_path, [(n, 3, 8, 8) for n in (2, 3)]))
    onnx.checker.check_model(model, full_check=True)
    assert shapes_of((*model.graph.input, *model.graph.output)) == [["batch", 3, 8, 8], ["batch", 2, 5, 4]]
    assert_same(model, cell, [(n, 3, 8, 8) for n in (1, 2, 5)])


def test_batch_as_part_of_a_size(tmp_path):
    cell = Windows()
    model = make_axes_dynamic(convert(cell, tmp_path, [(n, 4, 4, 3) for n in (2, 3)]), ["n"])
    assert shapes_of(model.graph.output) == [[2, "n", 4, 4, 3], ["2*n", 4, 3], ["8*n", 4, 3]]
    assert_same(model, cell, [(n, 4, 4, 3) for n in (1, 2, 5)])


def test_any_two_sizes_serve(tmp_path):
    cell = Windows()
    model = make_axes_dynamic(convert(cell, tmp_path, [(n, 4, 4, 3) for n in (7, 4)]))
    assert_same(model, cell, [(1, 4, 4, 3), (5, 4, 4, 3)])


def test_the_oldest_operator_set(tmp_path):
    cell = Windows()
    model = make_axes_dynamic(convert(cell, tmp_path, [(n, 4, 4, 3) for n in (2, 3)], opset=13))
    assert_same(model, cell, [(1, 4, 4, 3), (5, 4, 4, 3)])


@pytest.fixture(scope="module")
def image_models(tmp_path_factory):
    cell = Image().set_train(False)
    return cell, convert(cell, tmp_path_factory.mktemp("image"), [(b, 3, h, w) for b, h, w in MULTIPLES + ODD])


def test_height_and_width_that_strides_round_up(image_models):
    cell, models = image_models
    model = make_axes_dynamic(models, IMAGE_AXES)
    assert shapes_of(model.graph.output)[2] == ["batch", 8, "(height+3)/4", "(width+3)/4"]
    assert_same(model, cell, [(1, 3, 64, 32), (5, 3, 33, 47), (1, 3, 17, 18)])


def test_multiples_alone_leave_a_quotient(image_models):
    cell, models = image_models
    model = make_axes_dynamic(models[: len(MULTIPLES)], IMAGE_AXES)
    assert shapes_of(model.graph.output)[2] == ["batch", 8, "height/4", "width/4"]
    assert_same(model, cell, [(1, 3, 64, 32)])


@pytest.mark.parametrize(
    "chosen,axes,message",
    [
        ((0, 1), IMAGE_AXES, "no input changes its height or width separately"),
        ((0, 4), IMAGE_AXES, "2 exports do not tell batch, height, width apart"),
        ((0, 0), ("batch",), "no input changes its batch separately"),
        ((0, 4), ("batch",), "input 'x' has 16 or 48 at axis 2, which is none of batch"),
    ],
)
def test_exports_that_show_too_little_are_refused(image_models, chosen, axes, message):
    with pytest.raises(ConversionError, match=message):
        make_axes_dynamic([image_models[1][index] for index in chosen], axes)


class DividesByBatch(nn.Cell):
    def construct(self, x):
        return x * (1.0 / x.shape[0])


class BranchesOnBatch(nn.Cell):
    def construct(self, x):
        return ops.relu(x) if x.shape[0] == 2 else ops.exp(x)


class OtherAxis(nn.Cell):
    def construct(self, x):
        return ops.softmax(x, -1) if x.shape[0] == 2 else ops.softmax(x, 0)


class CountsOtherwise(nn.Cell):
    def construct(self, x):
        return ops.relu(x) if x.shape[0] == 2 else x + ops.exp(x)


class MixesBatch(nn.Cell):
    def __init__(self):
        super().__init__()
        self.table = Tensor(normal(3, 4))

    def construct(self, x):
        return x + self.table[: x.shape[0]]


class SquaresBatch(nn.Cell):
    def construct(self, x):
        return ops.broadcast_to(x.sum(), (x.shape[0] * x.shape[0] + 1, 3))


@pytest.mark.parametrize(
    "cell,message",
    [
        (DividesByBatch, "Mul: input 1 has other values"),
        (BranchesOnBatch, "Relu: Relu at one size is Exp"),
        (OtherAxis, "Softmax at one size is Softmax with other inputs or attributes"),
        (CountsOtherwise, "1 and 2 operators at different sizes"),
        (MixesBatch, r"Add: input 1 is a constant of shape \[2, 4\] and \[3, 4\]"),
        (SquaresBatch, "Expand: input 1 is 5, 10 where batch is 2, 3"),
    ],
)
def test_what_depends_on_the_batch_otherwise_is_refused(cell, message, tmp_path):
    models = convert(cell(), tmp_path, [(n, 4) for n in (2, 3)])
    with pytest.raises(ConversionError, match=message):
        make_axes_dynamic(models)


def test_a_third_size_proves_an_offset(tmp_path):
    cell = SquaresBatch()
    assert_same(make_axes_dynamic(convert(cell, tmp_path, [(n, 4) for n in (2, 3, 5)])), cell, [(1, 4), (4, 4), (7, 4)])


def test_constants_that_no_node_reads_any_more_are_gone(image_models):
    model = make_axes_dynamic(image_models[1], IMAGE_AXES)
    read = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= read


COLUMNS = zip((0, 2, 3), zip(*MULTIPLES, strict=True), strict=True)
BATCH, HEIGHT, WIDTH = (Dimension("x", axis, sizes) for axis, sizes in COLUMNS)
NAMES = {BATCH.sizes: "batch", HEIGHT.sizes: "height", WIDTH.sizes: "width"}


@pytest.mark.parametrize(
    "formula,text",
    [
        (lambda b, h, w: h, "height"),
        (lambda b, h, w: 3 * b, "3*batch"),
        (lambda b, h, w: h // 8, "height/8"),
        (lambda b, h, w: 3 * h // 8, "3*height/8"),
        (lambda b, h, w: h * w // 16, "height*width/16"),
        (lambda b, h, w: h * w // 64 + 1, "(height*width+64)/64"),
        (lambda b, h, w: b * h * w // 64, "batch*height*width/64"),
        (lambda b, h, w: b * (b + 1) // 2, None),
        (lambda b, h, w: h + w, None),
    ],
)
def test_expressions(formula, text):
    found = find_expression(tuple(formula(*sizes) for sizes in MULTIPLES), (BATCH, HEIGHT, WIDTH))
    assert (found and found.describe(NAMES)) == text


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_rounded_quotients(offset):
    height = Dimension("x", 2, (16, 32, 49, 47, 18))
    found = find_expression(tuple((size + offset) // 4 for size in height.sizes), (height,))
    assert found and (found.offset, found.divisor) == (offset, 4)


# --- If and Loop


class ReshapesInBranches(nn.Cell):
    """Both branches hold shapes of the batch; what is behind them does too."""

    def construct(self, x):
        if x.sum() > 0:
            y = ops.broadcast_to(x.mean(1, keep_dims=True), (x.shape[0], 6)) * 2.0
        else:
            y = x.reshape(x.shape[0], 2, 3).swapaxes(1, 2).reshape(x.shape[0], 6)
        return y.reshape(x.shape[0] * 2, 3)


class GrowsInALoop(nn.Cell):
    def construct(self, x):
        count = x.sum() * 0.0
        while count < 3.0:
            x = x + ops.broadcast_to(x.max(1, keepdims=True), x.shape).reshape(2, -1).reshape(x.shape)
            count = count + 1.0
        return x


@pytest.mark.parametrize("cell", [ReshapesInBranches, GrowsInALoop])
def test_bodies_read_the_sizes_of_the_inputs(cell, tmp_path):
    model = make_axes_dynamic(convert(cell(), tmp_path, [(n, 6) for n in (2, 4)]))
    assert {"If", "Loop"} & {node.op_type for node in model.graph.node}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for batch in (2, 6, 8):
        for sign in (-1, 1):
            x = sign * np.abs(normal(batch, 6))
            output, expected = session.run(None, {"x": x})[0], cell()(Tensor(x)).asnumpy()
            assert output.shape == expected.shape
            assert np.abs(output - expected).max() <= TOLERANCE * np.abs(expected).max()
