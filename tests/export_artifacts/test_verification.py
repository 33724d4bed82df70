"""A difference is found, measured against the size of the outputs, and named."""

import numpy as np
import pytest
from mindspore import nn, ops

from msnoah.errors import RuntimeUnavailableError, VerificationError
from msnoah.export.reference_runs import run_cell
from msnoah.export.verification import require_passed, verify

REFERENCE = np.array([[1.0, -4.0], [2.0, 0.0]], np.float32)


def answer(*outputs):
    return lambda inputs: [output[:len(inputs[0])] for output in outputs]


def check(*found, expected=(REFERENCE,), tolerance=1e-5):
    names = [f"output_{index}" for index in range(len(expected))]
    return verify(answer(*expected), {"onnx": answer(*found)}, [[np.zeros((2, 1))]], outputs=names, tolerance=tolerance)


@pytest.mark.parametrize("change,max_abs,max_rel,passed", [
    (0.0, 0.0, 0.0, True),
    (2e-5, 2e-5, 5e-6, True),
    (2e-4, 2e-4, 5e-5, False),
    (-2e-4, 2e-4, 5e-5, False),
    (np.nan, np.inf, np.inf, False),
    (np.inf, np.inf, np.inf, False),
])
def test_difference_relative_to_the_largest_output(change, max_abs, max_rel, passed):
    found = REFERENCE.astype(np.float64) + [[0, 0], [change, 0]]
    (result,) = check(found)
    assert result.passed == passed
    # The reference is float32 and exact here; the sums are float64.
    assert (result.max_abs, result.max_rel) == (pytest.approx(max_abs), pytest.approx(max_rel))


@pytest.mark.parametrize("found,expected", [
    (REFERENCE[:, :1], REFERENCE), (REFERENCE, np.full_like(REFERENCE, np.nan)), (REFERENCE, np.zeros_like(REFERENCE)),
], ids=["other_shape", "reference_not_finite", "reference_zero"])
def test_what_cannot_be_compared_fails(found, expected):
    (result,) = check(found, expected=(expected,))
    assert not result.passed and result.max_rel == np.inf


def test_zeros_equal_zeros():
    assert check(0 * REFERENCE, expected=(0 * REFERENCE,))[0].passed


def test_another_count_of_outputs_is_an_error():
    with pytest.raises(VerificationError, match="onnx has 2 outputs, the model 1"):
        check(REFERENCE, REFERENCE)


def test_the_worst_difference_is_named():
    checks = check(REFERENCE + 1e-3, REFERENCE + 1, expected=(REFERENCE, REFERENCE))
    with pytest.raises(VerificationError, match=r"onnx differs .* by 2.50e-01 relative \(1.00e\+00 absolute; the tolerance is 1e-05\) in output 'output_1' at batch 2"):
        require_passed(checks, 1e-5)


def test_outputs_that_are_not_finite_are_named_as_such():
    with pytest.raises(VerificationError, match="onnx, or the trained model, gives NaN, infinity or another shape in output 'output_0'"):
        require_passed(check(REFERENCE * np.nan), 1e-5)


class Failing(nn.Cell):
    def construct(self, x):
        return ops.matmul(x, x)


def test_a_cell_that_mindspore_cannot_run_is_one_line():
    with pytest.raises(RuntimeUnavailableError, match="cannot run Failing here, so that there is nothing") as failure:
        run_cell(Failing())([np.ones((2, 3), np.float32)])
    assert "\n" not in str(failure.value)
