"""Reductions: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import normal

x34 = normal(3, 4)
image = normal(2, 4, 7, 6)
truth = np.array([[True, False], [True, True]])

CASES = [
    *[
        case(name, getattr(ops, name)(keep), image, constants=(axis,))
        for name in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
        for keep, axis in ((True, (2, 3)), (False, -1))
    ],
    case("ReduceSum", ops.ReduceSum(), image),
    case("ReduceProd", ops.ReduceProd(), x34, constants=(1,)),
    case("MeanExt", primitives.MeanExt(), image, constants=((2, 3), True)),
    case("SumExt", primitives.SumExt(), image, constants=(1,)),
    case("SumExt", primitives.SumExt(), truth, reference=lambda x: np.array(x.sum())),
    case("LpNorm", ops.LpNorm((1,), 2, True), image),
    *[case("CumSum", ops.CumSum(*flags), x34, constants=(1,)) for flags in ((), (True, False), (False, True))],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
