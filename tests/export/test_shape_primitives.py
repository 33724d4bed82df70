"""Primitives that move elements: every handler against MindSpore."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import ApplyToTuple, PlusConstant, PlusX, StridedSlices, Swapped, normal

x34 = normal(3, 4)
y34 = normal(3, 4)
image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)

CASES = [
    case("Reshape", ops.Reshape(), image, constants=((2, -1, 6),)),
    case("Flatten", ops.Flatten(), image),
    case("FlattenExt", primitives.FlattenExt(), image, constants=(1, 2)),
    *[case("ExpandDims", ops.ExpandDims(), x34, constants=(axis,)) for axis in (0, 1, -1)],
    case("ExpandDimsView", primitives.ExpandDimsView(), x34, constants=(1,)),
    case("Squeeze", ops.Squeeze(1), normal(3, 1, 4)),
    case("Squeeze", ops.Squeeze(), normal(3, 1, 4, 1)),
    case("Transpose", ops.Transpose(), tokens, constants=((0, 2, 1),)),
    case("TransposeView", primitives.TransposeView(), tokens, constants=((-1, 0, 1),)),
    case("TransposeExtView", primitives.TransposeExtView(), tokens, constants=(1, -1)),
    case("Concat", ops.Concat(1), x34, y34, cell=ApplyToTuple),
    case("Stack", ops.Stack(1), x34, y34, cell=ApplyToTuple),
    case("StackExt", primitives.StackExt(1), x34, y34, cell=ApplyToTuple, reference=lambda *xs: np.stack(xs, 1)),
    case("Unstack", ops.Unstack(1), tokens),
    case("UnstackExtView", primitives.UnstackExtView(), tokens, constants=(1,)),
    case("Split", ops.Split(2, 4), tokens),
    *[case(name, getattr(primitives, name)(), tokens, constants=(3, 1)) for name in ("SplitTensor", "SplitTensorView")],
    *[
        case(name, getattr(primitives, name)(), tokens, constants=((1, 4), 1))
        for name in ("SplitWithSize", "SplitWithSizeView")
    ],
    *[case(name, getattr(primitives, name)(), tokens, constants=(3, 2)) for name in ("Chunk", "ChunkView")],
    case("StridedSlice", None, tokens, cell=StridedSlices),
    case("StridedSlice", ops.StridedSlice(1, 2, 0, 0, 0), tokens, constants=((1, 1, 7), (2, 2, 1), (1, 2, -2))),
    case("StridedSlice", ops.StridedSlice(0, 0, 2, 0, 4), tokens, constants=((1, 0, -2), (2, 0, 1), (1, 1, 1))),
    case("Slice", ops.Slice(), tokens, constants=((0, 1, 2), (2, 3, -1))),
    *[case(name, getattr(primitives, name)(), tokens, constants=(1, 1, 4, 2)) for name in ("SliceExt", "SliceExtView")],
    *[case(name, getattr(primitives, name)(), tokens, constants=(1, 1, 3)) for name in ("Narrow", "NarrowView")],
    case("SelectExtView", primitives.SelectExtView(), tokens, constants=(1, -2)),
    case("ReverseV2", ops.ReverseV2((1, -1)), tokens),
    case("Tile", ops.Tile(), x34, constants=((2, 1, 3),)),
    case("BroadcastTo", ops.BroadcastTo((2, -1, 4)), x34),
    case("BroadcastToView", primitives.BroadcastToView(), x34, constants=((2, 3, 4),)),
    case(
        "RepeatInterleaveInt",
        primitives.RepeatInterleaveInt(),
        x34,
        constants=(2, 1, None),
        reference=lambda x: x.repeat(2, 1),
    ),
    case("Gather", ops.Gather(), x34, np.array([[0, 2], [1, 1]], np.int32), constants=(0,)),
    case("GatherD", Swapped(ops.GatherD(), 1, 1), x34, np.array([[0, 2], [1, 1], [3, 0]], np.int32)),
    case("Cast", ops.Cast(), x34 * 5, constants=(ms.int32,)),
    case("Cast", ops.Cast(), x34, constants=(ms.float16,)),
    case("Pad", ops.Pad(((0, 1), (2, 3))), x34),
    *[case("PadV3", ops.PadV3(mode), tokens, constants=((1, 2),)) for mode in ("reflect", "edge")],
    case("PadV3", ops.PadV3(), tokens, constants=((1, 2, 0, 1), 0.5)),
    case(
        "ConstantPadND",
        primitives.ConstantPadND(),
        tokens,
        constants=((1, 2, 0, 1), 0.5),
        reference=lambda x: np.pad(x, ((0, 0), (0, 1), (1, 2)), constant_values=0.5),
    ),
    case("ZerosLikeExt Add", PlusX(primitives.ZerosLikeExt(), None), x34, reference=lambda x: x),
    case("OnesLikeExt Add", PlusX(primitives.OnesLikeExt(), None), x34, reference=lambda x: x + 1),
    case("FillScalar Add", PlusConstant(primitives.FillScalar(), (3, 4), 2.0), x34, reference=lambda x: x + 2),
    *[case(name, getattr(primitives, name)(), x34) for name in ("Copy", "Contiguous", "Identity")],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
