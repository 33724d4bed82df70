"""float16 in an ONNX file as it was exported, batch open and label maps included: inputs and outputs stay float32.

`precision.py` does so in the converter's own graph, before anything is put around it. ONNX Runtime's float16 tool is
not used: between two operators that shall stay float32 it casts to float16 and back, so what overflows there still
does, and it clips weights that float16 cannot hold.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from msnoah.export.complexity import list_bodies
from msnoah.export.model_edits import drop_unread, element_types, names_read, replace_nodes
from msnoah.export.opsets import takes
from msnoah.export.precision import FLOAT, HALF, SENSITIVE, fits_float16

LARGEST = float(np.finfo(HALF).max) / 4
"""Values that came near the largest float16 on the samples stay float32: other samples may be larger."""


def use_half_precision(model: onnx.ModelProto, peaks: dict[str, float]) -> tuple[onnx.ModelProto, list[str]]:
    """A copy that stores weights and computes in float16.

    float32 stay operators that add up or compute coordinates (`precision.SENSITIVE`), that have no float16 form, that
    run other graphs, or that hold or touch a number too large.

    Args:
        model: with the types of its values (`prepare`).
        peaks: the largest |x| of its values on samples; one that is missing is taken to be small.

    Returns:
        The copy, and the names of operators with float32 inputs that stay float32.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy, _Halving(copy, peaks).run()


def round_to_half(model: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """A float32 copy that rounds as the float16 form does: what a device with float16 arithmetic gives.

    ONNX Runtime's CPU has few float16 kernels: it computes most of a float16 graph in float32 and does not round in
    between, so that neither an overflow nor a loss of digits would show. Here what an operator that is not in `kept`
    reads and gives is cast to float16 and back; sums within one operator stay float32, as on most devices.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    floats = {name for name, kind in element_types(copy).items() if kind == TensorProto.FLOAT}
    constants = {tensor.name: tensor for tensor in copy.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    rounded: dict[str, str] = {}
    for node in copy.graph.node:
        places = [index for index, name in enumerate(node.input) if name in floats]
        halved = bool(places) and node.name not in kept
        for index in places if halved else []:
            name = node.input[index]
            if name in constants:
                _round_constant(constants[name])
            elif name not in rounded:
                rounded[name] = f"{name}.as_half"
                nodes += _round_pair(name, rounded[name])
            node.input[index] = rounded.get(name, name)
        nodes.append(node)
        for index, name in enumerate(node.output):
            if halved and name in floats:
                node.output[index] = f"{name}.exact"
                nodes += _round_pair(node.output[index], name)
                rounded[name] = name
    replace_nodes(copy.graph, nodes)
    return copy


def _round_constant(tensor: TensorProto) -> None:
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(HALF).astype(FLOAT), tensor.name))


def _round_pair(source: str, result: str) -> list[onnx.NodeProto]:
    return [_cast(source, f"{result}.half", TensorProto.FLOAT16), _cast(f"{result}.half", result, TensorProto.FLOAT)]


class _Halving:
    """Goes through the nodes in order. What was float32 is computed in float16 or stays; a node that needs the other
    gets it from one Cast a value, and a constant in both forms if both are needed."""

    def __init__(self, model: onnx.ModelProto, peaks: dict[str, float]):
        self.graph, self.peaks = model.graph, peaks
        self.opset = next(entry.version for entry in model.opset_import if entry.domain == "")
        self.floats = {name for name, kind in element_types(model).items() if kind == TensorProto.FLOAT}
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.outputs = {value.name for value in self.graph.output}
        bodies = [body for node in self.graph.node for body in list_bodies(node)]
        self.read_within = {name for body in bodies for name in names_read(body)}
        self.halved: set[str] = set()
        self.other: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []

    def run(self) -> list[str]:
        """Edits the graph; returns the names of float nodes that stay."""
        kept = []
        for node in list(self.graph.node):
            places = [index for index, name in enumerate(node.input) if name in self.floats or name in self.halved]
            halve = self._can_halve(node, places)
            for index in places:
                if (node.input[index] in self.halved) != halve:
                    node.input[index] = self._convert(node.input[index])
            self.nodes.append(node)
            if halve:
                self._halve_outputs(node)
            elif places:
                kept.append(node.name)
        self._write()
        return kept

    def _can_halve(self, node: onnx.NodeProto, places: list[int]) -> bool:
        if not places or node.op_type in SENSITIVE or node.domain or list_bodies(node):
            return False
        touched = [*(node.input[index] for index in places), *node.output]
        if any(name in self.read_within for name in node.output) or not all(map(self._is_small, touched)):
            return False
        return all(takes(node.op_type, self.opset, HALF, index) for index in places)

    def _is_small(self, name: str) -> bool:
        """Whether float16 holds a value: what is stored by its numbers, what is computed by those of the samples."""
        if name in self.constants:
            return fits_float16(numpy_helper.to_array(self.constants[name]))
        return bool(self.peaks.get(name.removesuffix(".float16"), 0.0) <= LARGEST)

    def _convert(self, name: str) -> str:
        """The same value in the other element type."""
        if name not in self.other:
            to_float = name in self.halved
            result = f"{name}.float32" if to_float else f"{name}.float16"
            if name in self.constants:
                array = numpy_helper.to_array(self.constants[name]).astype(HALF)
                self.graph.initializer.append(numpy_helper.from_array(array, result))
            else:
                self.nodes.append(_cast(name, result, TensorProto.FLOAT if to_float else TensorProto.FLOAT16))
            if not to_float:
                self.halved.add(result)
            self.other[name] = result
        return self.other[name]

    def _halve_outputs(self, node: onnx.NodeProto) -> None:
        for index, name in enumerate(node.output):
            if name not in self.floats:
                continue
            if name in self.outputs:
                node.output[index] = inner = f"{name}.float16"
                self.nodes.append(_cast(inner, name, TensorProto.FLOAT))
                self.halved.add(inner)
                self.other[inner] = name
            else:
                self.floats.discard(name)
                self.halved.add(name)

    def _write(self) -> None:
        """Nodes in their new order, types of what changed, and no constants that nothing reads any more."""
        replace_nodes(self.graph, self.nodes)
        for info in self.graph.value_info:
            if info.name in self.halved:
                info.type.tensor_type.elem_type = TensorProto.FLOAT16
        drop_unread(self.graph)


def _cast(source: str, result: str, element_type: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], f"{result}.Cast", to=element_type)
