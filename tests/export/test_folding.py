"""What numpy computes at conversion is what ONNX's reference implementation computes."""

import numpy as np
import pytest

from msnoah.errors import ConversionError
from msnoah.export import folding
from msnoah.export.folding import fold

X, Y = np.linspace(-2, 3, 24, dtype=np.float32).reshape(2, 3, 4), np.linspace(1, 2, 4, dtype=np.float32)
INTS = np.arange(24).reshape(2, 3, 4)
TWO, AXES = np.array(2, np.float32), np.array([0, 2])
CASES = {
    "Identity": [((X,), {})],
    "Reshape": [((X, np.array([0, -1])), {}), ((X[:0], np.array([0, 5])), {"allowzero": 1})],
    "Transpose": [((X,), {}), ((INTS,), {"perm": [1, 2, 0]})],
    "Unsqueeze": [((X, AXES), {}), ((X, np.array([-1])), {})],
    "Add": [((X, Y), {}), ((INTS, INTS), {})],
    "Sub": [((X, Y), {})],
    "Mul": [((X, Y), {}), ((X.astype(np.float16), Y.astype(np.float16)), {})],
    "Div": [((X, Y), {}), ((X, 0 * Y), {}), ((-INTS, INTS + 2), {})],
    "MatMul": [((X, np.eye(4, dtype=np.float32)), {}), ((X, Y), {})],
    "Sqrt": [((X,), {}), ((X.astype(np.float64),), {})],
    "Pow": [((X, TWO), {}), ((X, Y), {}), ((TWO, Y), {}), ((X, np.array(2)), {}), ((INTS, np.array(2)), {})],
    "ReduceSum": [((X,), {}), ((X, AXES), {"keepdims": 0}), ((X, np.array([-1])), {}), ((INTS, AXES), {})],
    "ReduceMean": [((X,), {"axes": [1]}), ((X,), {"axes": [0, 2], "keepdims": 0}), ((X,), {"keepdims": 0})],
}
FLAT = [(operator, inputs, attributes) for operator, cases in CASES.items() for inputs, attributes in cases]


@pytest.mark.parametrize("operator,inputs,attributes", FLAT, ids=lambda value: value if isinstance(value, str) else "")
def test_numpy_agrees_with_the_reference(operator, inputs, attributes):
    with np.errstate(all="ignore"):
        expected, = folding._evaluate(operator, inputs, 1, attributes, 17)
    found, = fold(operator, inputs, 1, attributes, 17)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-3 if found.dtype == np.float16 else 1e-6)


@pytest.mark.parametrize(
    "operator,inputs",
    [
        ("Expand", (TWO, np.array([2**20, 2**20]))),
        ("Tile", (X, np.array([2**62, 2**62, 4]))),
        ("ConstantOfShape", (np.array([2**40]),)),
        ("Range", (np.array(0.0), np.array(1.0), np.array(1e-12))),
    ],
)
def test_what_does_not_fit_in_memory_is_refused(operator, inputs):
    with pytest.raises(ConversionError, match="a constant of .* elements"):
        fold(operator, inputs, 1, {}, 17)


def test_every_numpy_form_has_a_case():
    assert CASES.keys() == {*folding.REARRANGING, *folding.FLOAT_ARITHMETIC, *folding.FLOAT_REDUCTIONS}


def test_moved_weights_are_views():
    for operator, inputs, attributes in FLAT:
        if operator in folding.REARRANGING and inputs[0].size:
            assert np.shares_memory(fold(operator, inputs, 1, attributes, 17)[0], inputs[0])
