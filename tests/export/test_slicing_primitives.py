"""Primitives that slice, reverse, roll and pad: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import Tensor, ops
from mindspore.ops import auto_generate as primitives
from primitive_case import Case, case, check_case
from primitive_cells import StridedSlices, normal

x34 = normal(3, 4)
tokens = normal(2, 5, 8)
image = normal(2, 3, 4, 5)
clip = normal(2, 2, 3, 4, 5)


def padded(mode: str, pairs):
    """numpy's padding of the last axes."""
    return lambda x: np.pad(x, [*[(0, 0)] * (x.ndim - len(pairs)), *pairs], mode)


CASES = [
    case("StridedSlice", None, tokens, cell=StridedSlices),
    case("StridedSlice", ops.StridedSlice(1, 2, 0, 0, 0), tokens, constants=((1, 1, 7), (2, 2, 1), (1, 2, -2))),
    case("StridedSlice", ops.StridedSlice(0, 0, 2, 0, 4), tokens, constants=((1, 0, -2), (2, 0, 1), (1, 1, 1))),
    case("Slice", ops.Slice(), tokens, constants=((0, 1, 2), (2, 3, -1))),
    *[case(name, getattr(primitives, name)(), tokens, constants=(1, 1, 4, 2)) for name in ("SliceExt", "SliceExtView")],
    *[case(name, getattr(primitives, name)(), tokens, constants=(1, 1, 3)) for name in ("Narrow", "NarrowView")],
    case("SelectExtView", primitives.SelectExtView(), tokens, constants=(1, -2)),
    case("ReverseV2", ops.ReverseV2((1, -1)), tokens),
    case("ReverseSequence", ops.ReverseSequence(1, 0), tokens, np.array([2, 5], np.int32)),
    case("ReverseSequence", ops.ReverseSequence(0, 2), tokens, np.array([1, 2, 1, 1, 2, 2, 1, 2], np.int64)),
    case("Roll", primitives.Roll((1, -3), (1, 2)), tokens, reference=lambda x: np.roll(x, (1, -3), (1, 2))),
    case("Roll", primitives.Roll((3,)), tokens, reference=lambda x: np.roll(x, 3)),
    # --- padding
    case("Pad", ops.Pad(((0, 1), (2, 3))), x34),
    *[case("PadV3", ops.PadV3(mode), tokens, constants=((1, 2),)) for mode in ("reflect", "edge", "circular")],
    case("PadV3", ops.PadV3(), tokens, constants=((1, 2, 0, 1), 0.5)),
    case(
        "PadV3", ops.PadV3(), tokens, constants=((-1, 2), 0.5),
        reference=lambda x: np.pad(x[:, :, 1:], ((0, 0), (0, 0), (0, 2)), constant_values=0.5),
    ),
    case(
        "ConstantPadND", primitives.ConstantPadND(), tokens, constants=((1, 2, 0, 1), 0.5),
        reference=lambda x: np.pad(x, ((0, 0), (0, 1), (1, 2)), constant_values=0.5),
    ),
    *[
        case("MirrorPad", ops.MirrorPad(mode), x34, constants=(Tensor([[1, 2], [3, 0]]),))
        for mode in ("REFLECT", "SYMMETRIC")
    ],
    *[
        case(
            f"{kind}Pad1D", getattr(primitives, f"{kind}Pad1D")(), tokens, constants=((1, 2),),
            reference=padded(mode, [(1, 2)]),
        )
        for kind, mode in (("Reflection", "reflect"), ("Replication", "edge"))
    ],
    *[
        case(
            f"{kind}Pad2D", getattr(primitives, f"{kind}Pad2D")(), image, constants=((1, 2, 3, 0),),
            reference=padded(mode, [(3, 0), (1, 2)]),
        )
        for kind, mode in (("Reflection", "reflect"), ("Replication", "edge"))
    ],
    *[
        case(
            f"{kind}Pad3D", getattr(primitives, f"{kind}Pad3D")(), clip, constants=((1, 2, 3, 0, 0, 1),),
            reference=padded(mode, [(0, 1), (3, 0), (1, 2)]),
        )
        for kind, mode in (("Reflection", "reflect"), ("Replication", "edge"))
    ],
    case("Padding", ops.Padding(4), normal(3, 1)),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
