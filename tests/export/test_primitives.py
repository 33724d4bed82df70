"""Every handler against MindSpore: a tiny Cell is exported, converted, and run in ONNX Runtime on the same inputs."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import Tensor, nn, ops
from mindspore.ops import auto_generate as primitives
from primitive_cells import (
    Apply,
    ApplyToTuple,
    Augmented,
    Compared,
    FirstOutput,
    LayerNormOverShape,
    PlusConstant,
    PlusX,
    ReadBeforeUpdate,
    StridedSlices,
    Swapped,
    average_of_padded,
    gelu,
    layer_norm,
    log_softmax,
    normal,
    positive,
)

from msnoah.export.converter import mindir_to_onnx
from msnoah.export.ops import HANDLERS
from msnoah.export.reader import read_mindir

TOLERANCE = 1e-5
"""Largest difference, relative to the largest element: float32 sums in another order stay far below."""


@dataclass
class Case:
    """Primitives that must appear in the MindIR, a callable, run-time inputs, constants, and a reference
    where the CPU has no kernel.
    """

    primitives: str
    function: Any
    inputs: tuple
    constants: tuple = ()
    cell: type = Apply
    reference: Any = None

    def __str__(self) -> str:
        return self.primitives.replace(" ", "-")


def case(primitives: str, function, *inputs, constants=(), cell=Apply, reference=None) -> Case:
    return Case(primitives, function, inputs, constants, cell, reference)


x34, y34 = normal(3, 4), normal(3, 4)
image = normal(2, 4, 7, 6)
tokens = normal(2, 5, 8)
truth, lie = np.array([[True, False], [True, True]]), np.array([[False, False], [True, False]])

CASES = [
    # --- one tensor
    *[
        case(name, getattr(ops, name)(), x34)
        for name in ("Abs", "Neg", "Exp", "Sin", "Cos", "Erf", "Floor", "Ceil", "Sign", "Square", "Atan", "Tan")
    ],
    *[case(name, getattr(ops, name)(), positive(3, 4)) for name in ("Log", "Sqrt", "Reciprocal", "Rsqrt")],
    case("Expm1", ops.Expm1(), x34),
    case("LogicalNot", ops.LogicalNot(), truth),
    # --- two tensors
    *[
        case(name, getattr(ops, name)(), x34, y34)
        for name in ("Add", "Sub", "Mul", "Maximum", "Minimum", "Equal", "NotEqual", "Greater", "Less")
    ],
    *[case(name, getattr(ops, name)(), x34, y34) for name in ("GreaterEqual", "LessEqual")],
    *[case(name, getattr(ops, name)(), x34, positive(3, 4)) for name in ("Div", "RealDiv", "FloorDiv")],
    case("FloorDiv", ops.FloorDiv(), np.array([-7, 7, 6], np.int32), np.array([2, -2, 3], np.int32)),
    case("Pow", ops.Pow(), positive(3, 4), y34),
    case("Add Cast", ops.Add(), x34, np.arange(4, dtype=np.int32)),
    case("LogicalAnd", ops.LogicalAnd(), truth, lie),
    case("LogicalOr", ops.LogicalOr(), truth, lie),
    case("Select", ops.Select(), x34 > 0, x34, y34),
    case("MaskedFill", ops.MaskedFill(), x34, x34 > 0, constants=(-100.0,)),
    *[case(name, getattr(primitives, name)(), x34, constants=(2.5,)) for name in ("Muls", "Divs")],
    case("PowTensorScalar", primitives.PowTensorScalar(), positive(3, 4), constants=(3.0,)),
    case("PowScalarTensor", Swapped(primitives.PowScalarTensor(), 2.0), x34),
    case("AddExt", primitives.AddExt(), x34, y34, constants=(2.0,)),
    case("SubExt", primitives.SubExt(), x34, y34, constants=(0.5,)),
    case("AddScalar", primitives.AddScalar(), x34, constants=(3.0, 2.0), reference=lambda x: x + np.float32(6)),
    case("SubScalar", primitives.SubScalar(), x34, constants=(3.0, 1.0), reference=lambda x: x - np.float32(3)),
    case("ClampScalar", primitives.ClampScalar(), x34, constants=(-0.5, 0.5)),
    case("ClampTensor", primitives.ClampTensor(), x34, -positive(4), positive(4)),
    case(
        "InplaceAddExt InplaceSubExt InplaceMul InplaceDiv InplaceAddsExt InplaceMuls InplaceDivs",
        None,
        x34,
        positive(3, 4),
        cell=Augmented,
    ),
    case("TensorMove InplaceAddsExt", None, x34, cell=ReadBeforeUpdate),
    case("LessScalar EqScalar", None, x34, cell=Compared),
    case(
        "RemainderTensorScalar",
        primitives.RemainderTensorScalar(),
        x34,
        constants=(0.75,),
        reference=lambda x: np.mod(x, np.float32(0.75)),
    ),
    case("RemainderTensorTensor", primitives.RemainderTensorTensor(), x34, positive(4), reference=np.mod),
    case("FloorMod", ops.FloorMod(), np.array([-7, 7, 6], np.int32), np.array([2, -2, 4], np.int32)),
    # --- matrix products
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
    # --- activations
    *[
        case(name, getattr(ops, name)(), x34 * 4)
        for name in ("ReLU", "ReLU6", "Sigmoid", "HSwish", "HSigmoid", "GeLU", "Elu", "Softplus")
    ],
    case("SiLU", primitives.SiLU(), x34),
    case("Tanh", ops.Tanh(), x34, reference=np.tanh),  # MindSpore's own is off by 8e-5 on the CPU.
    case(
        "LeakyReLUExt",
        primitives.LeakyReLUExt(),
        x34,
        constants=(0.1,),
        reference=lambda x: np.where(x > 0, x, np.float32(0.1) * x),
    ),
    case("EluExt", primitives.EluExt(0.5), x34, reference=lambda x: np.where(x > 0, x, np.float32(0.5) * np.expm1(x))),
    case("SoftplusExt", primitives.SoftplusExt(), x34),
    case("PReLU", ops.PReLU(), image, positive(4)),
    case("PReLU", ops.PReLU(), image, positive(1)),
    case("GeluExt", primitives.GeluExt(), x34, constants=("none",), reference=lambda x: gelu(x, "none")),
    case("GeluExt", primitives.GeluExt(), x34, constants=("tanh",), reference=lambda x: gelu(x, "tanh")),
    case("Erf Div Mul Add", nn.GELU(approximate=False), x34),
    case("Softmax", ops.Softmax(-1), tokens),
    case("Softmax", ops.Softmax(1), tokens),
    case("LogSoftmax", ops.LogSoftmax(-1), x34),
    case("LogSoftmaxExt", primitives.LogSoftmaxExt(), x34, constants=(-1,), reference=log_softmax),
    # --- normalisation
    case("BatchNorm", ops.BatchNorm(epsilon=1e-3), image, *[positive(4) for _ in range(4)], cell=FirstOutput),
    case("LayerNorm", ops.LayerNorm(-1, -1, 1e-6), tokens, normal(8), normal(8), cell=FirstOutput),
    case("LayerNorm", ops.LayerNorm(1, 1, 1e-6), tokens, normal(5, 8), normal(5, 8), cell=FirstOutput),
    case(
        "LayerNormExt",
        primitives.LayerNormExt(),
        tokens,
        normal(8),
        normal(8),
        cell=LayerNormOverShape,
        reference=layer_norm,
    ),
    case("GroupNorm", nn.GroupNorm(2, 4), image),
    case("L2Normalize", ops.L2Normalize(1), x34),
    # --- reductions
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
    # --- moving elements
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
    # --- convolution, pooling, resizing
    *[
        case(
            "Conv2D", nn.Conv2d(4, 6, 3, stride, pad_mode=mode, padding=padding, dilation=dilation, group=group), image
        )
        for stride, mode, padding, dilation, group in (
            (1, "same", 0, 1, 1),
            (2, "same", 0, 1, 2),
            (2, "valid", 0, 1, 1),
            (2, "pad", (2, 1, 0, 1), 1, 1),
            (1, "pad", 2, 2, 2),
        )
    ],
    case("Conv2D BiasAdd", nn.Conv2d(4, 6, (3, 2), (1, 2), pad_mode="same", has_bias=True), image),
    *[
        case("Conv3D", nn.Conv3d(2, 3, 3, 2, pad_mode=mode, padding=padding), normal(1, 2, 4, 7, 6))
        for mode, padding in (("same", 0), ("pad", (1, 0, 2, 1, 0, 1)))
    ],
    *[
        case(name, cell(3, 2, mode), image)
        for name, cell in (("MaxPool", nn.MaxPool2d), ("AvgPool", nn.AvgPool2d))
        for mode in ("same", "valid")
    ],
    case("MaxPool3DWithArgmax", nn.MaxPool2d(3, 2, pad_mode="pad", padding=1), image),
    case("AvgPool2D", primitives.AvgPool2D(), image, constants=(3, 2, 1, False, True), reference=average_of_padded),
    case("AdaptiveAvgPool2D", ops.AdaptiveAvgPool2D((None, 3)), image),
    case(
        "AdaptiveAvgPool2DExt",
        primitives.AdaptiveAvgPool2DExt(),
        normal(2, 4, 8, 6),
        constants=((2, 3),),
        reference=lambda x: x.reshape(2, 4, 2, 4, 3, 2).mean((3, 5)),
    ),
    *[
        case("ResizeLinear1D", primitives.ResizeLinear1D(mode), tokens, constants=((11,),))
        for mode in ("align_corners", "half_pixel")
    ],
    *[
        case("ResizeBilinearV2", primitives.ResizeBilinearV2(*flags), image, constants=((11, 4),))
        for flags in ((False, False), (True, False), (False, True))
    ],
    *[case("ResizeNearestNeighbor", ops.ResizeNearestNeighbor((11, 4), flag), image) for flag in (False, True)],
    case(
        "UpsampleBilinear2D",
        primitives.UpsampleBilinear2D(),
        image,
        constants=((14, 12), None, False),
        reference=lambda x: ops.interpolate(Tensor(x), size=(14, 12), mode="bilinear"),
    ),
]


def export(case_: Case, path) -> nn.Cell:
    cell = case_.cell(case_.function, case_.constants) if case_.function else case_.cell()
    ms.export(cell, *[Tensor(x) for x in case_.inputs], file_name=str(path), file_format="MINDIR")
    return cell


def flatten(result) -> list[np.ndarray]:
    if isinstance(result, tuple | list):
        return [array for item in result for array in flatten(item)]
    return [result.asnumpy() if isinstance(result, Tensor) else np.asarray(result)]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    cell = export(case_, tmp_path / "net.mindir")
    found = {node.primitive for node in read_mindir(tmp_path / "net.mindir").main.nodes}
    assert found >= set(case_.primitives.split()), f"MindIR has {found}"
    session = onnxruntime.InferenceSession(mindir_to_onnx(tmp_path / "net.mindir").SerializeToString())
    outputs = session.run(None, {info.name: x for info, x in zip(session.get_inputs(), case_.inputs, strict=True)})
    expected = flatten(case_.reference(*case_.inputs) if case_.reference else cell(*[Tensor(x) for x in case_.inputs]))
    assert len(outputs) == len(expected)
    for output, array in zip(outputs, expected, strict=True):
        assert output.dtype == array.dtype and output.shape == array.shape
        if array.size and array.dtype != bool:
            assert np.abs(output - array).max() <= TOLERANCE * max(np.abs(array).max(), 1e-6)
        else:
            assert np.array_equal(output, array)


def test_every_handler_has_a_case():
    covered = {name for case_ in CASES for name in case_.primitives.split()}
    assert set(HANDLERS) == covered
