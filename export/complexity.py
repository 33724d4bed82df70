"""How much an ONNX model computes: multiply-accumulates by operator, and its weights, read off the graph."""

import itertools
import math
from collections import Counter
from collections.abc import Callable

import onnx
from onnx import helper

from msnoah.errors import ConversionError
from msnoah.export.onnx_file import without_weights

Shape = list[int]


def count_macs(model: onnx.ModelProto, batch: int = 1) -> dict[str, int]:
    """Multiply-accumulates of one run, by operator, the largest first; their sum is the model's count.

    Counted are convolutions, products and recurrences: what multiplies with a sum behind it. Biases, activations,
    normalisations and element-wise products are not, as is usual (fvcore, papers). Padding counts like any pixel.

    Args:
        model: any ONNX model; of one with weights in another file the graph is enough.
        batch: size of the inputs' first axis where it is open; a fixed one stays.

    Raises:
        ConversionError: another size is open, or a product stands in a branch or loop, which runs who knows how often.
    """
    _refuse_hidden_products(model.graph)
    graph = infer_shapes(fix_batch(model, batch))
    shapes = read_shapes(graph)
    counts = Counter()
    for node in graph.node:
        if node.op_type in _COUNTERS:
            counts[node.op_type] += count_node_macs(node, shapes)
    return dict(counts.most_common())


def count_weights(model: onnx.ModelProto) -> int:
    """Numbers in the model's float and quantised weights; shapes, axes and other int32 and int64 tensors are none."""
    indices = (onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type not in indices)


def infer_shapes(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph of a model with the types of all values that ONNX can infer, sizes that it computes included."""
    return onnx.shape_inference.infer_shapes(model, data_prop=True).graph


def read_shapes(graph: onnx.GraphProto) -> dict[str, Shape | None]:
    """Shapes by value name; None where a size is open."""
    shapes = {info.name: _read_shape(info) for info in (*graph.input, *graph.value_info, *graph.output)}
    return shapes | {tensor.name: list(tensor.dims) for tensor in graph.initializer}


def count_node_macs(node: onnx.NodeProto, shapes: dict[str, Shape | None]) -> int:
    """Multiply-accumulates of one node; 0 of what `count_macs` does not count.

    Raises:
        ConversionError: the size of what it reads or writes is open.
    """
    return _count(node, shapes) if node.op_type in _COUNTERS else 0


def fix_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The model without its large weights and with a number for the batch wherever its name stands.

    Declared shapes that this leaves open are dropped, to be inferred anew; the others say what inference cannot know,
    as behind sizes that the graph computes.
    """
    light = without_weights(model)
    firsts = [dims[0] for dims in map(_dims, light.graph.input) if dims]
    names = {first.dim_param for first in firsts} - {""}
    infos = (*light.graph.input, *light.graph.value_info)
    named = [dim for info in infos for dim in _dims(info) if dim.dim_param in names]
    for dim in [*(first for first in firsts if not first.HasField("dim_value")), *named]:
        dim.dim_value = batch
    declared = [info for info in light.graph.value_info if _read_shape(info) is not None]
    del light.graph.value_info[:]
    light.graph.value_info.extend(declared)
    for info in light.graph.output:
        info.type.tensor_type.ClearField("shape")
    return light


def list_bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs that an If, Loop or Scan runs."""
    return [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]


def _dims(info: onnx.ValueInfoProto):
    return info.type.tensor_type.shape.dim


def _read_shape(info: onnx.ValueInfoProto) -> Shape | None:
    dims = info.type.tensor_type.shape.dim
    known = info.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims)
    return [dim.dim_value for dim in dims] if known else None


def _count(node: onnx.NodeProto, shapes: dict[str, Shape | None]) -> int:
    unknown = [name for name in (*node.input, *node.output) if name and shapes.get(name) is None]
    if unknown:
        raise ConversionError(
            f"{node.op_type} '{node.name or node.output[0]}': the size of '{unknown[0]}' is open; "
            "only the batch may be, so fix the other sizes of the inputs")
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    inputs, outputs = ([shapes.get(name) for name in names] for names in (node.input, node.output))
    return _COUNTERS[node.op_type](inputs, outputs, attributes)


def _refuse_hidden_products(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        found = next((kind for kind in _list_inner_operators(node) if kind in _COUNTERS), None)
        if found:
            raise ConversionError(
                f"{node.op_type} '{node.name}' holds {found}; how often that runs is unknown, so it has no count")


def _list_inner_operators(node: onnx.NodeProto) -> list[str]:
    """What the bodies of an If or Loop hold, bodies within them included."""
    inner_nodes = [inner for body in list_bodies(node) for inner in body.node]
    return [kind for inner in inner_nodes for kind in (inner.op_type, *_list_inner_operators(inner))]


# --- one rule an operator: from the shapes of inputs and outputs, and attributes


def _count_convolution(inputs: list[Shape], outputs: list[Shape], attributes) -> int:
    return math.prod(outputs[0]) * math.prod(inputs[1][1:])


def _count_quantized_convolution(inputs: list[Shape], outputs: list[Shape], attributes) -> int:
    return math.prod(outputs[0]) * math.prod(inputs[3][1:])


def _count_transposed_convolution(inputs: list[Shape], outputs: list[Shape], attributes) -> int:
    return math.prod(inputs[0]) * math.prod(inputs[1][1:])


def _count_product(inputs: list[Shape], outputs: list[Shape], attributes) -> int:
    return math.prod(outputs[0]) * inputs[0][-1]


def _count_gemm(inputs: list[Shape], outputs: list[Shape], attributes) -> int:
    return math.prod(outputs[0]) * inputs[0][0 if attributes.get("transA") else 1]


def _count_einsum(inputs: list[Shape], outputs: list[Shape], attributes) -> int:
    """Every combination of the letters is one multiply-accumulate, of each operand after the first."""
    terms = attributes["equation"].decode().replace(" ", "").split("->")[0].split(",")
    if any("." in term for term in terms):
        raise ConversionError(f"Einsum '{','.join(terms)}' leaves axes unnamed, which has no count; name them")
    sizes = dict(zip("".join(terms), itertools.chain(*inputs), strict=True))
    return math.prod(sizes.values()) * (len(terms) - 1)


def _count_recurrence(inputs: list[Shape], outputs: list[Shape], attributes) -> int:
    """Each step multiplies the input with W and the state with R: (T, B, I), (D, gates * H, I), (D, gates * H, H)."""
    steps = inputs[0][0] * inputs[0][1]
    return steps * (math.prod(inputs[1]) + math.prod(inputs[2]))


_COUNTERS: dict[str, Callable[[list[Shape], list[Shape], dict], int]] = {
    "Conv": _count_convolution,
    "ConvInteger": _count_convolution,
    "DeformConv": _count_convolution,
    "QLinearConv": _count_quantized_convolution,
    "ConvTranspose": _count_transposed_convolution,
    "MatMul": _count_product,
    "MatMulInteger": _count_product,
    "QLinearMatMul": _count_product,
    "Gemm": _count_gemm,
    "Einsum": _count_einsum,
    "LSTM": _count_recurrence,
    "GRU": _count_recurrence,
    "RNN": _count_recurrence,
}
