"""float16 weights and arithmetic: what changes its type, what stays, and how far the numbers move."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from pass_case import build, normal, run

from msnoah.errors import ConversionError
from msnoah.export.precision import use_float16

SHAPE = (2, 8, 16)


def converted(network, mode: str) -> tuple[onnx.ModelProto, float, float]:
    """The model, its size beside that of float32, and the largest difference relative to the largest output."""
    g = build(network, *SHAPE)
    before, x = g.graph.to_model(), normal(*SHAPE)
    use_float16(g.graph, mode)
    model = g.graph.to_model()
    onnx.checker.check_model(model, full_check=True)
    assert [info.type.tensor_type.elem_type for info in (*model.graph.input, *model.graph.output)] == [
        info.type.tensor_type.elem_type for info in (*before.graph.input, *before.graph.output)]
    assert [info.name for info in model.graph.output] == [info.name for info in before.graph.output]
    differences = [np.abs(new - old).max() / np.abs(old).max()
                   for old, new in zip(run(before, x), run(model, x), strict=True)]
    return model, model.ByteSize() / before.ByteSize(), max(differences)


def types(model: onnx.ModelProto) -> dict[str, set[int]]:
    """Element types of what each kind of operator gives."""
    infos = {info.name: info.type.tensor_type.elem_type for info in (*model.graph.value_info, *model.graph.output)}
    found: dict[str, set[int]] = {}
    for node in model.graph.node:
        found.setdefault(node.op_type, set()).update(infos[name] for name in node.output)
    return found


def layers(g, x):
    x = g.op("Relu", g.op("Add", g.op("MatMul", x, normal(16, 512) / 4), normal(512)))
    x = g.op("LayerNormalization", g.op("MatMul", x, normal(512, 16) / 20), normal(16), normal(16), axis=-1)
    weights = g.op("Softmax", g.op("MatMul", x, g.op("Transpose", x, perm=[0, 2, 1])), axis=-1)
    return g.op("MatMul", weights, x)


def test_weights_take_half_the_room_and_arithmetic_stays():
    model, size, difference = converted(layers, "weights")
    assert size < 0.56 and 0 < difference < 2e-3
    assert all(kinds == {TensorProto.FLOAT} for kinds in types(model).values())


def test_all_computes_in_float16_but_for_sensitive_operators():
    model, size, difference = converted(layers, "all")
    found = types(model)
    assert found["Relu"] == found["Transpose"] == found["Add"] == {TensorProto.FLOAT16}
    assert found["LayerNormalization"] == found["Softmax"] == {TensorProto.FLOAT}
    assert size < 0.6 and 0 < difference < 1e-2
    assert len({node.input[0] for node in model.graph.node if node.op_type == "Cast"}) == sum(
        node.op_type == "Cast" for node in model.graph.node), "each value is cast once"


def large_and_small(g, x):
    large = normal(16, 16) * np.float32(1e6)
    return g.op("MatMul", g.op("MatMul", x, large), normal(16, 4)), g.op("Mul", x, np.float32(3))


@pytest.mark.parametrize("mode", ["weights", "all"])
def test_what_float16_cannot_hold_stays(mode):
    g = build(large_and_small, *SHAPE)
    use_float16(g.graph, mode)
    kinds = sorted((array.shape, array.dtype.name) for array in g.graph.constants.values())
    halves = {"weights": "float32", "all": "float16"}[mode]     # Small ones stay in "weights".
    assert kinds == [((), halves), ((16, 4), halves), ((16, 16), "float32")]


def branches(g, x):
    """An output that is read again, integers, and float16 of the network's own."""
    y = g.op("Mul", x, np.float32(3))
    counts = g.op("Cast", g.op("ArgMax", y, axis=-1, keepdims=1), to=int(TensorProto.FLOAT))
    own = g.op("Cast", g.op("Exp", g.op("Cast", x, to=int(TensorProto.FLOAT16))), to=int(TensorProto.FLOAT))
    return y, g.op("Sub", g.op("Relu", y), counts), own


@pytest.mark.parametrize("mode", ["weights", "all"])
def test_outputs_keep_their_names_and_types(mode):
    _, _, difference = converted(branches, mode)
    assert difference < 2e-3


def split_output(g, x):
    return (*g.op("Split", g.op("Relu", x), g.ints(4, 4), outputs=2, axis=1),)


def test_several_outputs_of_one_operator_stay_float32():
    assert converted(split_output, "all")[2] < 1e-3


def test_nothing_changes_without_a_mode():
    g = build(layers, *SHAPE)
    before = g.graph.to_model().SerializeToString()
    use_float16(g.graph, None)
    assert g.graph.to_model().SerializeToString() == before


def test_another_mode_is_refused():
    with pytest.raises(ConversionError, match="float16='half' is not known; use 'weights' or 'all'"):
        use_float16(build(layers, *SHAPE).graph, "half")
