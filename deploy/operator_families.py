"""What kinds of operators do, whatever a runtime calls them: for comparing one with another."""

from collections.abc import Iterable

from msnoah.deploy.runtimes.base import OperatorTime

OTHERS = "others"
FAMILIES = {
    "convolutions": """
        Conv Conv2D Conv3D ConvTranspose Convolution ConvolutionDepthwise Deconvolution DepthwiseConv2dNative FusedConv
        GroupConvolution QLinearConv""",
    "matrix products": "BatchMatMul FullyConnected FusedGemm FusedMatMul Gemm MatMul QGemm QLinearMatMul",
    "element by element": """
        Abs Add BiasAdd BiasGelu BinaryOp Cast Clip Div Eltwise Erf Exp FastGelu Gelu GeLU Greater HardSigmoid HSigmoid
        Log Max Maximum Min Minimum Mul Neg Pow QuickGelu ReLU ReLU6 RealDiv Relu Select Sigmoid Sign Sqrt Sub Subgraph
        Sum Tanh UnaryOp Where""",
    "sums, norms and softmax": """
        ArgMax AvgPool AveragePool BatchNormalization GlobalAveragePool LayerNorm LayerNormalization MVN MaxPool Pooling
        ReduceMax ReduceMean ReduceSum Reduction SkipLayerNormalization Softmax TopK""",
    "moving data": """
        Concat DequantizeLinear Expand Gather GatherD GatherElements GatherND Interp Interpolate MemcpyFromHost Pad
        QuantizeLinear Raster Reorder ReorderInput ReorderOutput Reshape Resize ResizeBilinearV2 Slice Split Squeeze
        StridedSlice Tile Transpose Unsqueeze VariadicSplit""",
}
"""Kinds of ONNX Runtime, OpenVINO, MNN and MindSpore by family; OpenVINO's Subgraph is a group of elementwise nodes."""

_FAMILY_OF = {kind: family for family, kinds in FAMILIES.items() for kind in kinds.split()}


def family_times(rows: Iterable[OperatorTime]) -> dict[str, float]:
    """Milliseconds by family, in the order of FAMILIES with OTHERS last; families without time are 0."""
    times = dict.fromkeys((*FAMILIES, OTHERS), 0.0)
    for row in rows:
        times[_FAMILY_OF.get(row.operator, OTHERS)] += row.ms
    return times
