"""Bitwise logic and shifts: every handler against MindSpore. Integers need operator set 18 for and, or and xor."""

import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case

x = np.array([[12, -5, 7], [0, 3, -1]], np.int32)
y = np.array([[10, 6, -7], [1, 2, 31]], np.int32)
shifts = np.array([[1, 2, 0], [3, 4, 5]], np.int32)
truth, lie = np.array([True, True, False]), np.array([True, False, False])
NUMPY = {"And": np.bitwise_and, "Or": np.bitwise_or, "Xor": np.bitwise_xor}

CASES = [
    *[case(f"Bitwise{name}", getattr(ops, f"Bitwise{name}")(), x, y, opset=18) for name in NUMPY],
    *[
        case(f"Bitwise{name}Tensor", getattr(primitives, f"Bitwise{name}Tensor")(), x, y, reference=function, opset=18)
        for name, function in NUMPY.items()
    ],
    *[
        case(f"Bitwise{name}Tensor", getattr(primitives, f"Bitwise{name}Tensor")(), truth, lie, reference=function)
        for name, function in NUMPY.items()
    ],
    case("BitwiseAndScalar", primitives.BitwiseAndScalar(), x, constants=(3,), reference=lambda x: x & 3, opset=18),
    case("BitwiseOrScalar", primitives.BitwiseOrScalar(), x, constants=(3,), reference=lambda x: x | 3, opset=18),
    case("BitwiseXorScalar", primitives.BitwiseXorScalar(), x, constants=(3,), reference=lambda x: x ^ 3, opset=18),
    case("BitwiseNot", primitives.BitwiseNot(), x, reference=np.invert),
    case("Invert", ops.Invert(), x.astype(np.int16)),
    case("Invert", ops.Invert(), shifts.astype(np.uint8)),
    case("LeftShift", ops.LeftShift(), x, shifts),
    case("LeftShift", ops.LeftShift(), x.astype(np.int64), shifts.astype(np.int64)),
    case("RightShift", ops.RightShift(), x, shifts),
    case("RightShift", ops.RightShift(), shifts.astype(np.uint8), shifts.astype(np.uint8)),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
