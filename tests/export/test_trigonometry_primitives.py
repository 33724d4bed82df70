"""Trigonometric and hyperbolic functions: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import normal, positive

x34 = normal(3, 4)
inside = np.clip(x34, -0.9, 0.9)
beyond = positive(3, 4) + 1
ys, xs = (axis.astype(np.float32) for axis in np.mgrid[-1:2, -1:2])

CASES = [
    *[case(name, getattr(ops, name)(), x34) for name in ("Sin", "Cos", "Tan", "Sinh", "Cosh", "Atan", "Asinh", "Sinc")],
    case("Sinc", ops.Sinc(), np.array([0, 0.25, 1], np.float32)),
    *[case(name, getattr(ops, name)(), inside) for name in ("Asin", "ACos", "Atanh")],
    case("Acosh", ops.Acosh(), beyond),
    *[
        case(f"{name}Ext", getattr(primitives, f"{name}Ext")(), inside, reference=getattr(np, f"arc{name.lower()[1:]}"))
        for name in ("Asin", "Acos", "Atan", "Asinh")
    ],
    case("AcoshExt", primitives.AcoshExt(), beyond, reference=np.arccosh),
    case("Atan2", ops.Atan2(), normal(3, 4), normal(3, 4)),
    case("Atan2", ops.Atan2(), ys, xs),
    case("Atan2Ext", primitives.Atan2Ext(), ys, xs, reference=np.arctan2),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
