"""Rounding: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case

numbers = np.array([-2.5, -1.5, -0.5, -0.2, 0, 0.3, 0.5, 1.5, 2.5, 2.7], np.float32)
integers = np.array([-2, 0, 3], np.int32)

CASES = [
    *[case(name, getattr(ops, name)(), numbers) for name in ("Floor", "Ceil", "Rint", "Round", "Trunc")],
    case(
        "Round",
        ops.Round(),
        np.array([-1.257, 0.125, 3.14159], np.float32),
        constants=(2,),
        reference=lambda x: x.round(2),
    ),
    *[case(name, getattr(ops, name)(), integers, reference=lambda x: x) for name in ("Floor", "Trunc", "Round")],
    case("Frac", primitives.Frac(), numbers, reference=lambda x: x - np.trunc(x)),
    case("InplaceFloor", primitives.InplaceFloor(), numbers, reference=np.floor),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
