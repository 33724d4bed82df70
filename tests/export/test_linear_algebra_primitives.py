"""Determinants, inverses, powers and distances: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, mint, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import PlusConstant, normal

regular = normal(2, 3, 3) + 3 * np.eye(3, dtype=np.float32)
x, y = normal(2, 3, 4), normal(2, 5, 4)


CASES = [
    *[case("MatrixDeterminant", ops.det, matrix) for matrix in (regular, normal(5, 5))],
    case("LogMatrixDeterminant", ops.slogdet, normal(2, 3, 3)),
    case("LogMatrixDeterminant", ops.slogdet, -regular),
    *[
        case("MatrixInverse", ops.MatrixInverse(adjoint), matrix)
        for matrix, adjoint in ((regular, False), (regular, True))
    ],
    case("MatrixInverse", ops.MatrixInverse(), normal(6, 6) + 4 * np.eye(6, dtype=np.float32)),
    case("MatrixInverse", ops.MatrixInverse(), regular, constants=Tensor(regular), cell=PlusConstant),
    *[
        case("MatrixInverseExt", mint.inverse, matrix, reference=np.linalg.inv)
        for matrix in (regular, regular[:1, :1, :1])
    ],
    *[case("MatrixSolve", ops.MatrixSolve(flag), regular, normal(2, 3, 2)) for flag in (False, True)],
    *[case("MatrixPower", ops.MatrixPower(n), regular) for n in (5, 1, 0, -2)],
    *[case("Cdist", primitives.Cdist(p), x, y) for p in (2.0, 1.0, 3.0, 0.0, float("inf"))],
    *[case("Pdist", ops.pdist, normal(5, 4), constants=(p,)) for p in (2.0, 1.0, 3.0, 0.0, float("inf"))],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
