"""Element-wise arithmetic: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import ApplyToTuple, Augmented, ReadBeforeUpdate, Swapped, normal, positive

x34, y34, z34 = normal(3, 4), normal(3, 4), normal(3, 4)
p34 = positive(3, 4)
with_zeros = np.array([[0, 2, 0, -1]] * 3, np.float32)
dividends, divisors = np.array([-7, 7, 6, -9], np.int32), np.array([2, -2, 4, 3], np.int32)
truth, lie = np.array([True, False, True, False]), np.array([True, True, False, False])


def number(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def divide_or_zero(x, y):
    return np.where(y == 0, 0, np.trunc(x / np.where(y == 0, 1, y))).astype(x.dtype)


def prim(name: str):
    return getattr(primitives, name)()


CASES = [
    # --- one tensor
    *[case(name, getattr(ops, name)(), x34) for name in ("Abs", "Neg", "Sign", "Square", "Inv")],
    *[case(name, getattr(ops, name)(), dividends) for name in ("Abs", "Neg", "Sign", "Square")],
    *[case(name, getattr(ops, name)(), p34) for name in ("Sqrt", "Reciprocal", "Rsqrt")],
    case("Sqrt", ops.Sqrt(), p34.astype(np.float16), tolerance=1e-3),  # float16 holds 11 bits.
    case("Reciprocal", ops.Reciprocal(), divisors),
    case("InplaceSign", prim("InplaceSign"), x34, reference=np.sign),
    # --- two tensors
    *[case(name, getattr(ops, name)(), x34, y34) for name in ("Add", "Sub", "Mul", "Maximum", "Minimum", "Hypot")],
    *[case(name, getattr(ops, name)(), truth, lie) for name in ("Mul", "Maximum")],
    case("Minimum", ops.Minimum(), truth, lie, reference=np.minimum),
    case("AddExt", prim("AddExt"), truth, lie),
    *[case(name, getattr(ops, name)(), x34, p34) for name in ("Div", "RealDiv", "FloorDiv", "TruncateDiv")],
    *[case(name, getattr(ops, name)(), x34, p34) for name in ("Mod", "TruncateMod", "FloorMod", "SquaredDifference")],
    case("DivNoNan", ops.DivNoNan(), x34, with_zeros),
    case("MulNoNan", ops.MulNoNan(), np.array([np.inf, 2, np.nan, -1], np.float32), with_zeros),
    case("DivNoNan", ops.DivNoNan(), np.array([7, 5], np.int32), np.array([-2, 0], np.int32), reference=divide_or_zero),
    case("Xdivy", ops.Xdivy(), with_zeros, with_zeros),
    case("Heaviside", ops.Heaviside(), with_zeros, x34),
    *[
        case(name, getattr(ops, name)(), dividends, divisors)
        for name in ("Add", "Maximum", "Div", "FloorDiv", "TruncateDiv", "FloorMod", "TruncateMod", "Mod")
    ],
    case("Pow", ops.Pow(), p34, y34),
    case("Pow", ops.Pow(), dividends, np.array([2, 3, 1, 0], np.int32)),
    case("Add Cast", ops.Add(), x34, np.arange(4, dtype=np.int32)),
    case("FmodTensor", prim("FmodTensor"), x34, p34, reference=np.fmod),
    case("AddExt", prim("AddExt"), x34, y34, constants=(2.0,)),
    case("SubExt", prim("SubExt"), x34, y34, constants=(0.5,)),
    *[case("DivMod", prim("DivMod"), x34, p34, constants=(mode,)) for mode in (None, "trunc")],
    # MindSpore's own sometimes fails ("FloorDiv should have 1 outputs, but got 2").
    case("DivMod", prim("DivMod"), x34, p34, constants=("floor",), reference=np.floor_divide),
    case("DivMod", prim("DivMod"), dividends, divisors, constants=("floor",), reference=np.floor_divide),
    case("RemainderTensorTensor", prim("RemainderTensorTensor"), x34, positive(4), reference=np.mod),
    # --- several tensors
    case("AddN", ops.AddN(), x34, y34, z34, cell=ApplyToTuple),
    case("AddN", ops.AddN(), dividends, divisors, cell=ApplyToTuple),
    case("AccumulateNV2", ops.AccumulateNV2(), x34, y34, cell=ApplyToTuple, reference=np.add),
    case("Addcmul", ops.Addcmul(), x34, y34, z34, number(0.5)),
    case("Addcdiv", ops.Addcdiv(), x34, y34, p34, number(0.5)),
    case("AddcmulExt", prim("AddcmulExt"), x34, y34, z34, constants=(2.0,), reference=lambda x, y, z: x + 2 * y * z),
    case("AddcdivExt", prim("AddcdivExt"), x34, y34, p34, constants=(2.0,), reference=lambda x, y, z: x + 2 * y / z),
    case("Lerp", ops.Lerp(), x34, y34, p34),
    case("LerpScalar", prim("LerpScalar"), x34, y34, constants=(0.3,), reference=lambda x, y: 0.7 * x + 0.3 * y),
    # --- a tensor and a number
    *[case(name, prim(name), x34, constants=(2.5,)) for name in ("Muls", "Divs")],
    case("Muls", prim("Muls"), dividends, constants=(2.5,)),
    case("PowTensorScalar", prim("PowTensorScalar"), p34, constants=(3.0,)),
    case("PowScalarTensor", Swapped(prim("PowScalarTensor"), 2.0), x34),
    case("AddScalar", prim("AddScalar"), x34, constants=(3.0, 2.0), reference=lambda x: x + np.float32(6)),
    case("SubScalar", prim("SubScalar"), x34, constants=(3.0, 1.0), reference=lambda x: x - np.float32(3)),
    *[case("DivMods", prim("DivMods"), x34, constants=(0.7, mode)) for mode in (None, "trunc")],
    case("DivMods", prim("DivMods"), x34, constants=(0.7, "floor"), reference=lambda x: x // np.float32(0.7)),
    case("FloorDivScalar", prim("FloorDivScalar"), x34, constants=(0.75,), reference=lambda x: x // np.float32(0.75)),
    case("FmodScalar", prim("FmodScalar"), x34, constants=(0.75,), reference=lambda x: np.fmod(x, np.float32(0.75))),
    case(
        "RemainderTensorScalar",
        prim("RemainderTensorScalar"),
        x34,
        constants=(0.75,),
        reference=lambda x: np.mod(x, np.float32(0.75)),
    ),
    case(
        "RemainderScalarTensor",
        Swapped(prim("RemainderScalarTensor"), 2.5),
        p34,
        reference=lambda x: np.mod(np.float32(2.5), x),
    ),
    # --- between bounds
    *[case("ClampScalar", prim("ClampScalar"), x34, constants=bounds) for bounds in ((-0.5, 0.5), (None, 0.5), (0.1,))],
    case("ClampScalar", prim("ClampScalar"), dividends, constants=(-3, 4)),
    case("ClampTensor", prim("ClampTensor"), x34, -positive(4), positive(4)),
    case(
        "InplaceClampScalar",
        prim("InplaceClampScalar"),
        x34,
        constants=(-0.5, 0.5),
        reference=lambda x: x.clip(-0.5, 0.5),
    ),
    case("InplaceClampTensor", prim("InplaceClampTensor"), x34, -p34, p34, reference=np.clip),
    # --- in place
    case(
        "InplaceAddExt InplaceSubExt InplaceMul InplaceDiv InplaceAddsExt InplaceMuls InplaceDivs",
        None,
        x34,
        p34,
        cell=Augmented,
    ),
    case("TensorMove InplaceAddsExt", None, x34, cell=ReadBeforeUpdate),
    case(
        "InplaceSubScalar", prim("InplaceSubScalar"), x34, constants=(0.5, 3.0), reference=lambda x: x - np.float32(1.5)
    ),
    case("InplaceDivMod", prim("InplaceDivMod"), x34, p34, constants=("floor",), reference=np.floor_divide),
    case(
        "InplaceDivMods",
        prim("InplaceDivMods"),
        x34,
        constants=(0.5, "trunc"),
        reference=lambda x: np.trunc(x / np.float32(0.5)),
    ),
    case("InplaceFloorDivide", prim("InplaceFloorDivide"), x34, p34, reference=np.floor_divide),
    case(
        "InplaceFloorDivides",
        prim("InplaceFloorDivides"),
        x34,
        constants=(0.5,),
        reference=lambda x: np.floor(x / np.float32(0.5)),
    ),
    case("InplaceRemainderTensorTensor", prim("InplaceRemainderTensorTensor"), x34, p34, reference=np.mod),
    case(
        "InplaceRemainderTensorScalar",
        prim("InplaceRemainderTensorScalar"),
        x34,
        constants=(0.75,),
        reference=lambda x: np.mod(x, np.float32(0.75)),
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
