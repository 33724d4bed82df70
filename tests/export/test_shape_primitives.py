"""Primitives that change a tensor's shape, repeat it, or join and cut: every handler against MindSpore."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import ApplyToTuple, ShapeAsTensor, normal

x34 = normal(3, 4)
y34 = normal(3, 4)
image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)

CASES = [
    case("Reshape", ops.Reshape(), image, constants=((2, -1, 6),)),
    case("ViewAs", primitives.ViewAs(), x34, normal(2, 6)),
    case("Flatten", ops.Flatten(), image),
    case("FlattenExt", primitives.FlattenExt(), image, constants=(1, 2)),
    *[case("ExpandDims", ops.ExpandDims(), x34, constants=(axis,)) for axis in (0, 1, -1)],
    case("ExpandDimsView", primitives.ExpandDimsView(), x34, constants=(1,)),
    case("Squeeze", ops.Squeeze(1), normal(3, 1, 4)),
    case("Squeeze", ops.Squeeze(), normal(3, 1, 4, 1)),
    case("Transpose", ops.Transpose(), tokens, constants=((0, 2, 1),)),
    case("TransposeView", primitives.TransposeView(), tokens, constants=((-1, 0, 1),)),
    case("TransposeExtView", primitives.TransposeExtView(), tokens, constants=(1, -1)),
    case("TExt", primitives.TExt(), x34),
    case("ConjugateTranspose", ops.operations.ConjugateTranspose(), tokens, constants=((2, 0, 1),)),
    case("Tile", ops.Tile(), x34, constants=((2, 1, 3),)),
    case("Tile", ops.Tile(), x34, constants=((2,),)),
    case("Repeat", primitives.Repeat(), x34, constants=((2, 3),), reference=lambda x: np.tile(x, (2, 3))),
    case("BroadcastTo", ops.BroadcastTo((2, -1, 4)), x34),
    case("BroadcastToView", primitives.BroadcastToView(), x34, constants=((2, 3, 4),)),
    case("Expand", ops.operations.Expand(), normal(3, 1), constants=(ms.Tensor([3, 4]),)),
    case("ExpandAs", primitives.ExpandAs(), normal(3, 1), x34),
    *[
        case("Meshgrid", primitives.Meshgrid(indexing), normal(3), normal(4), normal(2), cell=ApplyToTuple)
        for indexing in ("xy", "ij")
    ],
    case("TensorShape Add", None, np.array([3, 4]), x34, cell=ShapeAsTensor, reference=lambda x, y: x + y.shape),
    *[case(name, getattr(primitives, name)(), x34) for name in ("Copy", "Contiguous", "Identity")],
    *[case(name, getattr(primitives, name)(), x34, reference=lambda x: x) for name in ("Clone", "Detach")],
    # --- joining and cutting
    case("Concat", ops.Concat(1), x34, y34, cell=ApplyToTuple),
    case(
        "Concat", ops.Concat(0), x34, np.ones((1, 4), np.int32), cell=ApplyToTuple,
        reference=lambda *xs: np.concatenate(xs).astype(np.float32),
    ),
    case("Stack", ops.Stack(1), x34, y34, cell=ApplyToTuple),
    case("StackExt", primitives.StackExt(1), x34, y34, cell=ApplyToTuple, reference=lambda *xs: np.stack(xs, 1)),
    case("Unstack", ops.Unstack(1), tokens),
    case("UnstackExtView", primitives.UnstackExtView(), tokens, constants=(1,)),
    case("Split", ops.Split(2, 4), tokens),
    case("SplitV", ops.operations.SplitV([3, -1], 2, 2), tokens, reference=lambda x: np.split(x, [3], 2)),
    *[case(name, getattr(primitives, name)(), tokens, constants=(3, 1)) for name in ("SplitTensor", "SplitTensorView")],
    *[
        case(name, getattr(primitives, name)(), tokens, constants=((1, 4), 1))
        for name in ("SplitWithSize", "SplitWithSizeView")
    ],
    *[case(name, getattr(primitives, name)(), tokens, constants=(3, 2)) for name in ("Chunk", "ChunkView")],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
