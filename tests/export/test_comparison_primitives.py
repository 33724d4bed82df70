"""Comparison, logic and choice: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from mindspore.ops.auto_generate import gen_ops_prim
from mindspore.ops.operations.math_ops import Fmax, Fmin
from primitive_case import Case, case, check_case
from primitive_cells import Compared, normal

x34 = np.array([[-1, 0, 1, 2], [3, -2, 0.5, 0], [1, 1, 2, -3]], np.float32)
y34 = np.array([[1, 0, 1, -2], [3, 2, 0, 0], [1, 2, 2, -4]], np.float32)
integers = x34.astype(np.int32)
truth = np.array([[True, False], [True, True]])
lie = np.array([[False, False], [True, False]])
odd = np.array([1, np.nan, np.inf, -np.inf, 0, np.nan], np.float32)
even = np.array([np.nan, np.nan, np.inf, np.inf, 1e-9, 2], np.float32)
unequal = np.array([1, np.nan, 5, -3], np.float32)
ordinary = np.array([np.nan, 2, 4, 1], np.float32)
COMPARISONS = ("Equal", "NotEqual", "Greater", "Less", "GreaterEqual", "LessEqual")

CASES = [
    *[case(name, getattr(ops, name)(), x34, y34) for name in COMPARISONS],
    *[case(name, getattr(ops, name)(), integers, integers.T.reshape(3, 4)) for name in COMPARISONS],
    *[case(name, getattr(ops, name)(), truth, lie) for name in ("Equal", "LogicalAnd", "LogicalOr", "LogicalXor")],
    case("Less", ops.Less(), truth, lie, reference=lambda x, y: ~x & y),
    case("LogicalNot", ops.LogicalNot(), truth),
    case("LessScalar EqScalar", None, x34, cell=Compared),
    case("GreaterEqualScalar", gen_ops_prim.GreaterEqualScalar(), x34, constants=(1.0,), reference=lambda x: x >= 1),
    case("EqualExt", primitives.EqualExt(), x34, y34, reference=lambda x, y: np.array([np.array_equal(x, y)])),
    case("ApproximateEqual", ops.ApproximateEqual(1.5), x34, y34),
    *[case("IsClose", primitives.IsClose(equal_nan=flag), odd, even) for flag in (False, True)],
    case("IsClose", primitives.IsClose(0.5, 0.1), x34, y34),
    *[case(name, getattr(ops, name)(), odd) for name in ("IsNan", "IsInf", "IsFinite")],
    case("IsInf", ops.IsInf(), odd.astype(np.float16)),
    case("IsNegInf", primitives.IsNegInf(), odd, reference=np.isneginf),
    # --- choosing
    case("Select", ops.Select(), x34 > 0, x34, y34),
    case("Select", ops.Select(), truth, lie, truth),
    case("SelectV2", primitives.SelectV2(), x34 > 0, x34, y34, reference=np.where),
    case("MaskedFill", ops.MaskedFill(), x34, x34 > 0, constants=(-100.0,)),
    *[
        case(
            name,
            getattr(gen_ops_prim, name)(),
            x34,
            x34 > 0,
            constants=(7.0,),
            reference=lambda x, m: np.where(m, np.float32(7), x),
        )
        for name in ("MaskedFillScalar", "InplaceMaskedFillScalar")
    ],
    case(
        "InplaceMaskedFillTensor",
        primitives.InplaceMaskedFillTensor(),
        x34,
        x34 > 0,
        np.array(7, np.float32),
        reference=lambda x, m, v: np.where(m, v, x),
    ),
    case("Fmax", Fmax(), unequal, ordinary, reference=np.fmax),
    case("Fmin", Fmin(), unequal, ordinary, reference=np.fmin),
    case("NanToNum", primitives.NanToNum(), odd),
    case("NanToNum", primitives.NanToNum(3.0, 1.0, 2.0), odd),
    case("NanToNum", primitives.NanToNum(None, None, 2.0), odd),
    case("Select", ops.Select(), normal(2, 3) > 0, np.arange(6).reshape(2, 3), np.zeros((2, 3), np.int64)),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
