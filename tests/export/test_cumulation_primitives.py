"""Running sums, products and extremes: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import normal, positive

x34, x25 = normal(3, 4), normal(2, 5)
ties = np.array([[1, 3, 3, 0, 3, 4, 2], [2, 2, 0, 0, 2, -1, -1]], np.float32)
FLAGS = ((), (True, False), (False, True), (True, True))


def running_minimum(x):
    values = np.minimum.accumulate(x, 1)
    places = np.maximum.accumulate(np.where(x == values, np.arange(x.shape[1]), 0), 1)
    return values, places


CASES = [
    *[case("CumSum", ops.CumSum(*flags), x34, constants=(1,)) for flags in FLAGS],
    case("CumsumExt", primitives.CumsumExt(), x34, constants=(0,), reference=lambda x: x.cumsum(0)),
    *[case("CumProd", ops.CumProd(*flags), x25, constants=(1,)) for flags in FLAGS],
    case("CumProd", ops.CumProd(), normal(1, 3), constants=(0,)),
    *[
        case("CumulativeLogsumexp", ops.CumulativeLogsumexp(*flags), x25 * 50, constants=(Tensor(1),))
        for flags in FLAGS[::2]
    ],
    *[case("Cummax", primitives.Cummax(axis), ties) for axis in (0, 1)],
    case("Cummax", primitives.Cummax(-1), normal(2, 3, 6)),
    case("Cummin", primitives.Cummin(1), ties),
    case("CumminExt", primitives.CumminExt(), ties, constants=(1,), reference=running_minimum),
    case("CumProd", ops.CumProd(), positive(2, 9), constants=(1,)),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
