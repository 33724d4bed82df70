"""Conditions and loops decided at run time: every form in ONNX Runtime, along every way, against MindSpore."""

import condition_cells as branching
import loop_cells as looping
import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn

from msnoah.errors import ConversionError
from msnoah.export.converter import mindir_to_onnx

RNG = np.random.default_rng(0)
TOLERANCE = 1e-5
X = [np.float32(scale) * RNG.normal(size=(3, 4)).astype(np.float32) + np.float32(shift)
     for scale, shift in ((0.1, 0.1), (1, -1), (2, 0), (0.3, 2), (0.2, -0.2))]
N = [np.array(n, np.int32) for n in (0, 1, 2, 5, 9)]
Y = X[::-1]
FLAGS = [np.array(flag) for flag in (True, False)]
WIDE = [np.tile(x, (1, 10)) for x in X]

FORMS = [
    *[(cell, (X,), {"If"}) for cell in (
        branching.EarlyReturn, branching.WithoutElse, branching.Elif, branching.Nested, branching.TupleOfBranches,
        branching.DifferentConstants,
        branching.ConstantsThatMeet, branching.ConditionalExpression, branching.OneElementCondition,
        branching.And, branching.NotOr,
        branching.ChosenFunctions, looping.ForWithBreak, looping.LongForWithBreak,
        looping.ForWithContinue, looping.ForOverRows)],
    (branching.Assigned, (X, Y), {"If"}),
    (branching.BoolInput, (X, FLAGS), {"If"}),
    (branching.IntegerCondition, (X, N), {"If"}),
    (branching.ChosenCells, (X, [np.array(n, np.int32) for n in (0, 1, 2, -1, -3)]), {"If"}),
    *[(cell, (X,), {"Loop"}) for cell in (looping.While, looping.CountedWhile, looping.WhileLoop)],
    *[(cell, (X, N), {"Loop"}) for cell in (
        looping.NestedLoops, looping.RowsInLoop, looping.TupleOfLoop, looping.DictionaryInLoop)],
    *[(cell, (X, N), {"If", "Loop"}) for cell in (
        looping.Break, looping.Continue, looping.ReturnFromLoop, looping.BreakOfInnerLoop, looping.Captures,
        looping.ConditionAfterLoop)],
    (looping.SharedWeights, (WIDE, N), {"If", "Loop"}),
    (looping.SwappedInLoop, (N,), {"Loop"}),
    (lambda: looping.KnownRounds(5), (X,), set()),
    (lambda: looping.KnownRounds(100), (X,), {"If", "Loop"}),
    (lambda: looping.Scan(True), (X,), set()),
    (lambda: looping.Scan(False), (X,), set()),
    (looping.ForILoop, (X,), set()),
]
IDS = [form[0].__name__ for form in FORMS]


@pytest.fixture(autouse=True)
def graph_mode():
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=before)


def convert(cell: nn.Cell, folder, *inputs: np.ndarray, **options) -> onnx.ModelProto:
    ms.export(cell, *map(Tensor, inputs), file_name=str(folder / "net.mindir"), file_format="MINDIR")
    return mindir_to_onnx(folder / "net.mindir", **options)


def operators(graph: onnx.GraphProto) -> list[str]:
    found = [node.op_type for node in graph.node]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                found += operators(attribute.g)
    return found


def flatten(result) -> list[np.ndarray]:
    if isinstance(result, tuple | list):
        return [array for item in result for array in flatten(item)]
    return [result.asnumpy()]


def check(model: onnx.ModelProto, cell: nn.Cell, columns: tuple[list[np.ndarray], ...]) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for inputs in zip(*columns, strict=False):
        outputs = session.run(None, {info.name: x for info, x in zip(session.get_inputs(), inputs, strict=True)})
        expected = flatten(cell(*map(Tensor, inputs)))
        assert len(outputs) == len(expected)
        for output, array in zip(outputs, expected, strict=True):
            assert (output.dtype, output.shape) == (array.dtype, array.shape)
            assert np.abs(output - array).max() <= TOLERANCE * max(np.abs(array).max(), 1e-6)


@pytest.mark.parametrize("make,columns,expected", FORMS, ids=IDS)
def test_form(make, columns, expected, tmp_path):
    cell = make()
    model = convert(cell, tmp_path, *[column[0] for column in columns])
    assert {"If", "Loop"} & set(operators(model.graph)) == expected
    check(model, cell, columns)


@pytest.mark.parametrize("opset", (13, 22))
def test_other_operator_sets(opset, tmp_path):
    cell = looping.Captures()
    check(convert(cell, tmp_path, X[0], N[0], opset=opset), cell, (X, N))


def test_branches_that_meet_again_are_written_once(tmp_path):
    model = convert(looping.ForWithContinue(), tmp_path, X[0])
    assert operators(model.graph).count("If") == operators(model.graph).count("Add") == 11  # The first adds nothing.


def test_bodies_share_the_weights_of_the_main_graph(tmp_path):
    model = convert(looping.SharedWeights(), tmp_path, WIDE[0], N[0])
    assert sum(tensor.dims == [40, 40] for tensor in model.graph.initializer) == 1
    assert len(model.SerializeToString()) < 2 * 40 * 40 * 4


def test_what_a_loop_does_not_change_is_not_carried(tmp_path):
    model = convert(looping.Captures(), tmp_path, X[0], N[0])
    loop = next(node for node in model.graph.node if node.op_type == "Loop")
    assert len(loop.output) == 2 and len(loop.input) == 2 + 2  # i and x; no largest number of rounds, and the condition


def test_clean_ups_reach_into_bodies(tmp_path):
    convert(looping.SharedWeights(), tmp_path, WIDE[0], N[0])
    plain = mindir_to_onnx(tmp_path / "net.mindir", passes=())
    clean = mindir_to_onnx(tmp_path / "net.mindir")
    assert len(operators(clean.graph)) < len(operators(plain.graph))


class Raises(nn.Cell):
    def construct(self, x):
        if x.sum() > 1000:
            raise ValueError("too large")
        return x * 2


class SliceOfUnknownLength(nn.Cell):
    def construct(self, x, n):
        i = int(n)
        return x[:, i:i + 2] * 2


class ListIndexedInLoop(nn.Cell):
    def construct(self, x, n):
        parts = [x, x + 1, x * 2]
        i = 0
        while i < n:
            parts[i % 3] = parts[0] + 1
            i = i + 1
        return parts[0] + parts[-1]


REFUSED = [
    (Raises, (X[0],), "raise stops by a condition .*ValueError: too large.* take the check out"),
    (SliceOfUnknownLength, (X[0], N[1]), "begins or ends at a number that is computed at run time"),
    (ListIndexedInLoop, (X[0], N[1]), "number is computed at run time; stack the items to a tensor"),
]


@pytest.mark.parametrize("make,inputs,message", REFUSED, ids=[form[0].__name__ for form in REFUSED])
def test_what_onnx_cannot_express_is_refused(make, inputs, message, tmp_path):
    with pytest.raises(ConversionError, match=message):
        convert(make(), tmp_path, *inputs)
