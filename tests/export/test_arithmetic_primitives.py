"""Element-wise arithmetic and comparison: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import Augmented, Compared, ReadBeforeUpdate, Swapped, normal, positive

x34 = normal(3, 4)
y34 = normal(3, 4)
truth = np.array([[True, False], [True, True]])
lie = np.array([[False, False], [True, False]])

CASES = [
    # --- one tensor
    *[
        case(name, getattr(ops, name)(), x34)
        for name in ("Abs", "Neg", "Exp", "Sin", "Cos", "Erf", "Floor", "Ceil", "Sign", "Square", "Atan", "Tan")
    ],
    *[case(name, getattr(ops, name)(), positive(3, 4)) for name in ("Log", "Sqrt", "Reciprocal", "Rsqrt")],
    case("Expm1", ops.Expm1(), x34),
    case("LogicalNot", ops.LogicalNot(), truth),
    # --- two tensors
    *[
        case(name, getattr(ops, name)(), x34, y34)
        for name in ("Add", "Sub", "Mul", "Maximum", "Minimum", "Equal", "NotEqual", "Greater", "Less")
    ],
    *[case(name, getattr(ops, name)(), x34, y34) for name in ("GreaterEqual", "LessEqual")],
    *[case(name, getattr(ops, name)(), x34, positive(3, 4)) for name in ("Div", "RealDiv", "FloorDiv")],
    case("FloorDiv", ops.FloorDiv(), np.array([-7, 7, 6], np.int32), np.array([2, -2, 3], np.int32)),
    case("Pow", ops.Pow(), positive(3, 4), y34),
    case("Add Cast", ops.Add(), x34, np.arange(4, dtype=np.int32)),
    case("LogicalAnd", ops.LogicalAnd(), truth, lie),
    case("LogicalOr", ops.LogicalOr(), truth, lie),
    case("Select", ops.Select(), x34 > 0, x34, y34),
    case("MaskedFill", ops.MaskedFill(), x34, x34 > 0, constants=(-100.0,)),
    *[case(name, getattr(primitives, name)(), x34, constants=(2.5,)) for name in ("Muls", "Divs")],
    case("PowTensorScalar", primitives.PowTensorScalar(), positive(3, 4), constants=(3.0,)),
    case("PowScalarTensor", Swapped(primitives.PowScalarTensor(), 2.0), x34),
    case("AddExt", primitives.AddExt(), x34, y34, constants=(2.0,)),
    case("SubExt", primitives.SubExt(), x34, y34, constants=(0.5,)),
    case("AddScalar", primitives.AddScalar(), x34, constants=(3.0, 2.0), reference=lambda x: x + np.float32(6)),
    case("SubScalar", primitives.SubScalar(), x34, constants=(3.0, 1.0), reference=lambda x: x - np.float32(3)),
    case("ClampScalar", primitives.ClampScalar(), x34, constants=(-0.5, 0.5)),
    case("ClampTensor", primitives.ClampTensor(), x34, -positive(4), positive(4)),
    case(
        "InplaceAddExt InplaceSubExt InplaceMul InplaceDiv InplaceAddsExt InplaceMuls InplaceDivs",
        None,
        x34,
        positive(3, 4),
        cell=Augmented,
    ),
    case("TensorMove InplaceAddsExt", None, x34, cell=ReadBeforeUpdate),
    case("LessScalar EqScalar", None, x34, cell=Compared),
    case(
        "RemainderTensorScalar",
        primitives.RemainderTensorScalar(),
        x34,
        constants=(0.75,),
        reference=lambda x: np.mod(x, np.float32(0.75)),
    ),
    case("RemainderTensorTensor", primitives.RemainderTensorTensor(), x34, positive(4), reference=np.mod),
    case("FloorMod", ops.FloorMod(), np.array([-7, 7, 6], np.int32), np.array([2, -2, 4], np.int32)),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
