"""int8: QuantizeLinear and DequantizeLinear around the products of a float model, with ranges that were measured.

Quantised are Conv, ConvTranspose, MatMul and Gemm: their weights to int8 with a scale for each output channel, what
flows in to uint8 with a zero point. What comes out of a Conv is quantised too, or ONNX Runtime would compute it in
float; what comes out of a MatMul or Gemm is not, which is faster there and more exact. All else (sums, GELU, Softmax,
norms that are not folded, the division of linear attention) stays float: quantising it as well gained at most a tenth
of the time of SqueezeTime-R50, and nothing of SLAB-DeiT-T's.

uint8 rather than int8 for activations: ONNX Runtime 1.32 has fast kernels of that pair of types on x86; with int8 for
both it took longer than float.

ONNX Runtime's own quantiser is not used: it leaves nodes out of order, which ONNX's checker refuses, and sorting them
anew does not see what the bodies of Scan and Loop, as in label maps, read from outside.
"""

import itertools
from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper

from msnoah.export.activation_ranges import Range
from msnoah.export.complexity import list_bodies
from msnoah.export.model_edits import drop_unread, element_types, names_read, replace_nodes

PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
FLOAT_OUTPUTS = ("MatMul", "Gemm")
"""Products whose result is left as it is."""

MOVING = {
    "Concat", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Reshape", "Slice", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
}
"""Operators that give what they get in another order: ONNX Runtime moves DequantizeLinear behind them."""

LARGEST_BIAS = 2**30
"""Of a bias in units of its scale: half of what int32 holds, so that there is room for the sum."""


def list_products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that can be quantised, in running order: products of float32 outside of If, Loop and Scan.

    A convolution's weights must be stored in the file; a matrix product may be of two values that are computed. Left
    out are convolutions whose result is only moved before the body of a Scan or Loop reads it, as in label maps: ONNX
    Runtime 1.32 ends the whole process as it moves a DequantizeLinear to such a body.
    """
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    types, into_bodies = element_types(model), _moved_into_bodies(model.graph)
    return [node for node in model.graph.node if node.op_type in PRODUCTS
            and all(types.get(name) == onnx.TensorProto.FLOAT for name in node.input if name)
            and (node.op_type in FLOAT_OUTPUTS or all(name in constants for name in node.input[1:] if name)
                 and node.output[0] not in into_bodies)]


def list_values(model: onnx.ModelProto, nodes: Collection[str]) -> list[str]:
    """The values that need a range if these nodes are quantised, each once."""
    constants = {tensor.name for tensor in model.graph.initializer}
    ends = _find_ends(model.graph, nodes)
    names: dict[str, None] = {}
    for node in model.graph.node:
        if node.name in nodes:
            names |= dict.fromkeys(name for name in node.input if name and name not in constants)
        names |= dict.fromkeys(name for name in node.output if name in ends)
    return list(names)


def quantize_nodes(
    model: onnx.ModelProto, ranges: dict[str, Range], nodes: Collection[str], *, weight_bits: int = 8,
) -> onnx.ModelProto:
    """A copy of a float model in which these nodes are quantised.

    Args:
        model: with the types of its values; node names differ (`prepare`).
        ranges: lowest and highest number of each of `list_values`.
        nodes: names from `list_products`.
        weight_bits: 8, or 7 for x86 processors without VNNI, whose sums of two 8-bit products may overflow 16 bits.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _Quantizer(copy, ranges, 2 ** (weight_bits - 1) - 1).run(set(nodes))
    return copy


class _Quantizer:
    """Goes through the nodes in order. A pair of QuantizeLinear and DequantizeLinear comes before the first product
    that reads a value, and only products read what it gives; the result of a convolution has one that all read."""

    def __init__(self, model: onnx.ModelProto, ranges: dict[str, Range], largest: int):
        self.graph, self.ranges, self.largest = model.graph, ranges, largest
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.outputs = {value.name for value in self.graph.output}
        self.nodes: list[onnx.NodeProto] = []
        self.pairs: dict[str, str] = {}   # value -> the same after quantising and back
        self.scales: dict[str, np.float32] = {}
        self.taken = {name for node in self.graph.node for name in node.output} | self.constants.keys()
        self.ends: set[str] = set()

    def run(self, names: set[str]) -> None:
        """Edits the graph."""
        self.ends = _find_ends(self.graph, names)
        for node in list(self.graph.node):
            reads = self._read_by_product(node) if node.name in names else [
                self.pairs[name] if name in self.ends and name in self.pairs else name for name in node.input]
            node.input[:] = reads
            self.nodes.append(node)
            for index, name in enumerate(node.output):
                if name in self.ends:
                    self._pair_behind(node, index)
        replace_nodes(self.graph, self.nodes)
        drop_unread(self.graph)

    def _read_by_product(self, node: onnx.NodeProto) -> list[str]:
        first, second, *bias = node.input
        if second not in self.constants:
            return [self._pair(first), self._pair(second), *bias]
        return [self._pair(first), *self._weights(node)]

    def _pair(self, name: str) -> str:
        """The value after quantising and back; of a constant, with the range of its numbers."""
        if name not in self.pairs:
            ends = self.ranges[name] if name not in self.constants else _extremes(self._array(name))
            self._add_pair(name, self._free(f"{name}.dequantized"), name, ends)
        return self.pairs[name]

    def _pair_behind(self, node: onnx.NodeProto, index: int) -> None:
        """A pair for a result; one of the graph's own outputs keeps its name behind it."""
        name = node.output[index]
        if name not in self.outputs:
            self._add_pair(name, self._free(f"{name}.dequantized"), name, self.ranges[name])
            return
        node.output[index] = self._free(f"{name}.float")
        self._add_pair(node.output[index], name, name, self.ranges[name])
        self.pairs[name] = name

    def _add_pair(self, source: str, result: str, name: str, ends: Range) -> None:
        scale, zero = _find_scale(ends)
        step = [self._hold(f"{name}.scale", scale), self._hold(f"{name}.zero", zero)]
        quantized = self._free(f"{name}.quantized")
        self.nodes += [
            helper.make_node("QuantizeLinear", [source, *step], [quantized], f"{name}.QuantizeLinear"),
            helper.make_node("DequantizeLinear", [quantized, *step], [result], f"{name}.DequantizeLinear")]
        self.pairs[name], self.scales[name] = result, scale

    def _weights(self, node: onnx.NodeProto) -> list[str]:
        """What a product reads behind its first input: int8 weights, and an int32 bias where each channel has one."""
        array, bias = self._array(node.input[1]), self._bias(node)
        axis = _channel_axis(node, array.ndim)
        others = tuple(place for place in range(array.ndim) if place != axis)
        scale = np.abs(array).max(axis=None if axis is None else others) / self.largest   # (channels,), or one number
        given = self.scales[node.input[0]]
        if bias is not None:   # a scale too small for the bias would have it overflow
            least = np.abs(bias) / (given * LARGEST_BIAS)
            scale = np.maximum(scale, least.max() if axis is None else least)
        scale = np.where(scale > np.finfo(np.float32).tiny, scale, 1).astype(np.float32)
        spread = scale if axis is None else np.expand_dims(scale, others)
        whole = np.clip(np.rint(array / spread), -self.largest, self.largest).astype(np.int8)
        results = [self._dequantize(f"{node.name}.weight", whole, scale, axis)]
        if bias is None:
            return [*results, *node.input[2:]]
        step = scale * given
        whole = np.rint(bias.astype(np.float64) / step).astype(np.int32)
        return [*results, self._dequantize(f"{node.name}.bias", whole, step, None if axis is None else 0)]

    def _bias(self, node: onnx.NodeProto) -> np.ndarray | None:
        """A bias with a number for each channel, which sums of products can begin with; None where there is none."""
        factors = [a.f for a in node.attribute if a.name in ("alpha", "beta")]
        if len(node.input) < 3 or node.input[2] not in self.constants or any(factor != 1 for factor in factors):
            return None
        weights, bias = self._array(node.input[1]), self._array(node.input[2])
        axis = _channel_axis(node, weights.ndim)
        fits = bias.ndim == 1 and (axis is None or len(bias) == weights.shape[axis])
        return bias if fits else None

    def _dequantize(self, wanted: str, whole: np.ndarray, scale: np.ndarray, axis: int | None) -> str:
        name = self._free(wanted)
        parts = {"quantized": whole, "scale": scale, "zero": np.zeros(scale.shape, whole.dtype)}
        given = [self._hold(f"{name}.{word}", array) for word, array in parts.items()]
        place = {} if axis is None else {"axis": axis}
        self.nodes.append(helper.make_node("DequantizeLinear", given, [name], f"{name}.DequantizeLinear", **place))
        return name

    def _array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.constants[name])

    def _hold(self, wanted: str, array: np.ndarray) -> str:
        name = self._free(wanted)
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _free(self, wanted: str) -> str:
        """The name, or the next one that is free."""
        name = next(name for name in itertools.chain([wanted], (f"{wanted}_{count}" for count in itertools.count(1)))
                    if name not in self.taken)
        self.taken.add(name)
        return name


def _moved_into_bodies(graph: onnx.GraphProto) -> set[str]:
    """Values that a body reads, or that are only moved, or have a Relu, before one does."""
    found = {name for node in graph.node for body in list_bodies(node) for name in names_read(body)}
    for node in reversed(graph.node):
        if node.op_type in MOVING | {"Relu"} and found & set(node.output):
            found |= set(node.input)
    return found


def _find_ends(graph: onnx.GraphProto, nodes: Collection[str]) -> set[str]:
    """Results of convolutions among these nodes, or of the Relu that alone reads one: a range from 0 does its work."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs, ends = {value.name for value in graph.output}, set()
    for node in graph.node:
        if node.name in nodes and node.op_type not in FLOAT_OUTPUTS:
            found = readers.get(node.output[0], [])
            alone = len(found) == 1 and found[0].op_type == "Relu" and node.output[0] not in outputs
            ends.add(found[0].output[0] if alone else node.output[0])
    return ends


def _channel_axis(node: onnx.NodeProto, rank: int) -> int | None:
    """The axis of the weights that counts output channels; None where each has no scale of its own."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return 1 if node.op_type == "MatMul" and rank == 2 else None


def _find_scale(ends: Range) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of uint8 for a range, which is made to hold 0: that is exact then, as padding needs it."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    scale = np.float32((high - low) / 255)
    if scale < np.finfo(np.float32).tiny:
        return np.float32(1), np.uint8(0)
    return scale, np.uint8(np.clip(round(-low / float(scale)), 0, 255))


def _extremes(array: np.ndarray) -> Range:
    return float(array.min()), float(array.max())
