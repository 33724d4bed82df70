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
integers = np.array([[3, -1, 4, 1], [-5, 9, 2, 6]], np.int32)
ties = np.array([[1, 3, 3, 0], [2, 0, 0, 2]], np.float32)
gaps = np.array([[1, np.nan, 2], [np.nan, 4, 5]], np.float32)


def prim(name: str, *arguments):
    return getattr(primitives, name)(*arguments)


CASES = [
    *[
        case(name, getattr(ops, name)(keep), image, constants=(axis,))
        for name in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
        for keep, axis in ((True, (2, 3)), (False, -1))
    ],
    *[case(name, getattr(ops, name)(), integers, constants=(1,)) for name in ("ReduceMax", "ReduceSum", "ReduceMin")],
    case("ReduceMax", ops.ReduceMax(), image, constants=(1,), opset=18),
    case("ReduceSum", ops.ReduceSum(), image),
    case("ReduceProd", ops.ReduceProd(), x34, constants=(1,)),
    case("ProdExt", prim("ProdExt"), x34, constants=(1, True)),
    case("ProdExt", prim("ProdExt"), x34),
    case("ProdExt", prim("ProdExt"), integers, constants=(1,)),
    case("MeanExt", prim("MeanExt"), image, constants=((2, 3), True)),
    case("SumExt", prim("SumExt"), image, constants=(1,)),
    case("SumExt", prim("SumExt"), truth, reference=lambda x: np.array(x.sum())),
    case(
        "LogSumExp",
        prim("LogSumExp"),
        x34 * 100,
        constants=(1, True),
        reference=lambda x: np.logaddexp.reduce(x, 1)[:, None],
    ),
    case("Nansum", prim("Nansum"), gaps, constants=(1,), reference=lambda x: np.nansum(x, 1)),
    case("CountNonZero", prim("CountNonZero"), ties, constants=(1,), reference=lambda x: np.count_nonzero(x, 1)),
    case("CountNonZero", prim("CountNonZero"), ties, reference=np.count_nonzero),
    *[
        case(name, getattr(ops, name)(keep), truth, constants=(1,))
        for name in ("ReduceAll", "ReduceAny")
        for keep in (True, False)
    ],
    *[case(name, getattr(ops, name)(), truth) for name in ("ReduceAll", "ReduceAny")],
    *[case(name, prim(name), image) for name in ("Max", "Min")],
    *[case(name, prim(name), ties, constants=(1, keep)) for name in ("MaxDim", "MinDim") for keep in (True, False)],
    *[
        case(name, getattr(ops, name)(1, keep), ties)
        for name in ("ArgMaxWithValue", "ArgMinWithValue")
        for keep in (True, False)
    ],
    *[case(name, getattr(ops, name)(0), ties) for name in ("Argmax", "Argmin")],
    case("ArgMaxExt", prim("ArgMaxExt"), x34, constants=(1, True), reference=lambda x: x.argmax(1)[:, None]),
    case("ArgMaxExt", prim("ArgMaxExt"), x34, reference=lambda x: np.array(x.argmax())),
    case("ArgMinExt", prim("ArgMinExt"), x34, constants=(0,), reference=lambda x: x.argmin(0)),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
