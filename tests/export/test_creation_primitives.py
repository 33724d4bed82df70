"""Constants, one-hot rows, casts, triangles and diagonals: every handler against MindSpore."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from mindspore.ops import auto_generate as primitives
from mindspore.ops.operations.array_ops import MatrixBandPart, MatrixDiagPartV3, MatrixDiagV3, MatrixSetDiagV3
from primitive_case import Case, case, check_case
from primitive_cells import PlusConstant, PlusX, Swapped, normal

x34 = normal(3, 4)
matrices = normal(2, 3, 4)
labels = np.array([[0, 2], [4, 1], [3, -1]], np.int32)
offsets = Tensor([-1, 1], ms.int32)
size = Tensor(3, ms.int32), Tensor(4, ms.int32)


def full_like(x):
    return np.full_like(x, 2.5)


CASES = [
    case("ZerosLikeExt Add", PlusX(primitives.ZerosLikeExt(), None), x34, reference=lambda x: x),
    case("OnesLikeExt Add", PlusX(primitives.OnesLikeExt(), None), x34, reference=lambda x: x + 1),
    case("NewZeros Add", PlusX(primitives.NewZeros(), (4,), None), x34),
    case("NewOnes Add", PlusX(primitives.NewOnes(), (4,), None), x34),
    case("NewFull Add", PlusX(primitives.NewFull(), (4,), 2.0, None), x34, reference=lambda x: x + 2),
    case("FillScalar Add", PlusConstant(primitives.FillScalar(), (3, 4), 2.0), x34, reference=lambda x: x + 2),
    case(
        "FillTensor", Swapped(primitives.FillTensor(), (3, 4)), normal(), constants=(None,),
        reference=lambda value: np.full((3, 4), value),
    ),
    case("FillV2", Swapped(ops.FillV2(), (3, 4)), normal()),
    case("FullLike", primitives.FullLike(), x34, constants=(2.5, None), reference=full_like),
    case("Fills", ops.operations.Fills(), x34, constants=(2.5,), reference=full_like),
    case("InplaceZero", primitives.InplaceZero(), x34, reference=np.zeros_like),
    case("InplaceFillScalar", primitives.InplaceFillScalar(), x34, constants=(2.5,), reference=full_like),
    case("InplaceFillTensor", primitives.InplaceFillTensor(), x34, normal(), reference=np.full_like),
    case("Eye Add", PlusConstant(primitives.Eye(), 3, 4, ms.float32), x34),
    case("LinSpace Add", PlusConstant(ops.LinSpace(), Tensor(0.5), Tensor(2.0), 4), x34),
    case(
        "LinSpaceExt Add", PlusConstant(primitives.LinSpaceExt(), 0.5, 2.0, 4, None), x34,
        reference=lambda x: x + np.linspace(0.5, 2, 4, dtype=np.float32),
    ),
    case("LogSpace Add", PlusConstant(ops.LogSpace(4, 2), Tensor(0.5), Tensor(2.0)), x34),
    case("TrilIndices Add", PlusConstant(ops.TrilIndices(3, 4, 1, ms.int64)), np.zeros((2, 9), np.int64)),
    case("TriuIndices Add", PlusConstant(ops.TriuIndices(3, 4, -1, ms.int64)), np.zeros((2, 11), np.int64)),
    *[case("OneHot", ops.OneHot(axis), labels, constants=(5, Tensor(2.0), Tensor(-1.0))) for axis in (-1, 0, 1)],
    case(
        "OneHotExt", primitives.OneHotExt(), labels.astype(np.int64), constants=(5, Tensor(1), Tensor(0)),
        reference=lambda x: (np.arange(5) == x[..., None]).astype(np.int64),
    ),
    # --- casts
    *[
        case("Cast", ops.Cast(), numbers, constants=(target,))
        for numbers, target in (
            (x34 * 5, ms.int32), (x34, ms.float16), (x34, ms.float64), (labels, ms.bool_), (x34 > 0, ms.float32),
            (abs(x34 * 5), ms.uint8), (labels, ms.int64), (labels, ms.int8),
        )
    ],
    case("TypeAs", primitives.TypeAs(), x34 * 5, labels, reference=lambda x, other: x.astype(np.int32)),
    # --- triangles and diagonals
    *[case("Tril", ops.operations.Tril(diagonal), matrices) for diagonal in (-1, 1)],
    case("TrilExt", primitives.TrilExt(), matrices, constants=(-1,), reference=lambda x: np.tril(x, -1)),
    *[case("Triu", primitives.Triu(diagonal), matrices) for diagonal in (-1, 1)],
    case("Triu", primitives.Triu(), labels > 1),
    *[case("MatrixBandPart", MatrixBandPart(), matrices, constants=sides) for sides in ((1, 0), (-1, 1), (0, -1))],
    case("Diag", ops.Diag(), normal(2, 3)),
    case("DiagPart", ops.DiagPart(), normal(2, 3, 2, 3)),
    case("DiagExt", primitives.DiagExt(), normal(3), constants=(-1,), reference=lambda x: np.diag(x, -1)),
    case("DiagExt", primitives.DiagExt(), x34, constants=(1,), reference=lambda x: np.diag(x, 1)),
    *[case("Diagonal", primitives.Diagonal(*which), matrices) for which in ((0, 0, 1), (1, 2, 1), (-2, -2, -1))],
    case("DiagonalView", primitives.DiagonalView(), matrices, constants=(1, 1, 2)),
    *[case(name, getattr(primitives, name)(), x34[:, :3], reference=np.trace) for name in ("Trace", "TraceExt")],
    case("TraceV2", primitives.TraceV2(), x34, constants=(1, 0, 1, None)),
    case("FillDiagonal", ops.operations.FillDiagonal(0.5, True), normal(5, 2)),
    case(
        "InplaceFillDiagonal", primitives.InplaceFillDiagonal(), x34, constants=(0.5, False),
        reference=lambda x: np.where(np.eye(3, 4), np.float32(0.5), x),
    ),
    *[
        case("MatrixDiagV3", MatrixDiagV3(align), normal(2, 3, 3), constants=(offsets, *size, Tensor(0.5)))
        for align in ("RIGHT_LEFT", "LEFT_RIGHT", "LEFT_LEFT", "RIGHT_RIGHT")
    ],
    *[
        case("MatrixDiagPartV3", MatrixDiagPartV3(align), matrices, constants=(offsets, Tensor(0.5)))
        for align in ("RIGHT_LEFT", "LEFT_RIGHT")
    ],
    case("MatrixDiagPartV3", MatrixDiagPartV3(), matrices, constants=(Tensor([0], ms.int32), Tensor(0.5))),
    *[
        case("MatrixSetDiagV3", MatrixSetDiagV3(align), matrices, normal(2, 3, 3), constants=(offsets,))
        for align in ("RIGHT_LEFT", "LEFT_LEFT")
    ],
    case("MatrixDiag", nn.MatrixDiag(), x34, reference=lambda x: np.stack([np.diag(row) for row in x])),
    case("MatrixDiagPart", nn.MatrixDiagPart(), matrices, reference=lambda x: np.diagonal(x, 0, 1, 2)),
    case(
        "MatrixSetDiag", nn.MatrixSetDiag(), x34, normal(3),
        reference=lambda x, d: np.where(np.eye(3, 4), d[:, None], x),
    ),
    *[case("Cross", ops.Cross(dim), normal(2, 3, 3), normal(2, 3, 3)) for dim in (-65530, -1)],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
