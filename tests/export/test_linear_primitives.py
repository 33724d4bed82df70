"""Matrix products: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import nn, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import normal

image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)

CASES = [
    *[
        case("MatMul", ops.MatMul(*flags), normal(3, 4), normal(*shape))
        for flags, shape in (((), (4, 5)), ((False, True), (5, 4)))
    ],
    case("MatMul", ops.MatMul(True, False), normal(4, 3), normal(4, 5)),
    *[
        case("BatchMatMul", ops.BatchMatMul(False, flag), normal(2, 3, 4), normal(2, *shape))
        for flag, shape in ((False, (4, 5)), (True, (5, 4)))
    ],
    case("MatMulExt", primitives.MatMulExt(), normal(2, 3, 4), normal(4, 5)),
    case("Mm", primitives.Mm(), normal(3, 4), normal(4, 5), reference=np.matmul),
    case("BatchMatMulExt", primitives.BatchMatMulExt(), normal(2, 3, 4), normal(2, 4, 5)),
    case("Dense", primitives.Dense(), tokens, normal(3, 8), normal(3)),
    case("MatMul BiasAdd Reshape", nn.Dense(8, 3), tokens),
    case("BiasAdd", ops.BiasAdd(), image, normal(4)),
    case(
        "Addmm",
        primitives.Addmm(),
        normal(5),
        normal(3, 4),
        normal(4, 5),
        constants=(2.0, 0.5),
        reference=lambda x, y, z: 2 * x + 0.5 * (y @ z),
    ),
    case(
        "Baddbmm",
        primitives.Baddbmm(),
        normal(2, 3, 5),
        normal(2, 3, 4),
        normal(2, 4, 5),
        constants=(2.0, 0.5),
        reference=lambda x, y, z: 2 * x + 0.5 * (y @ z),
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
