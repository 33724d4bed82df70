"""One graph for every batch size, from the same network converted at batch 2 and at batch 3.

With static shapes the batch N is baked into shapes and counts, always as c0 + c1 N. Two conversions tell both numbers
apart from everything else: what is equal is kept, what differs is computed from the input's shape, and what cannot be
computed is refused.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from msnoah.errors import ConversionError

TWO, THREE = 2, 3


@dataclass(frozen=True)
class _Batch:
    """Where the batch size stands: a 1-d tensor with one number, read from an axis of an input."""

    name: str
    tensor: str


def make_batch_dynamic(at_two: onnx.ModelProto, at_three: onnx.ModelProto, name: str = "batch") -> onnx.ModelProto:
    """Merges two conversions of one network, at batch 2 and at batch 3, into one that takes any batch.

    Args:
        at_two, at_three: models that `mindir_to_onnx` gave for the two batch sizes.
        name: what the inputs and outputs call the dimension.

    Raises:
        ConversionError: the graphs differ in something that is no function of the batch size that can be computed;
            names the node.
    """
    _check_structure(at_two.graph, at_three.graph)
    result = onnx.ModelProto()
    result.CopyFrom(at_two)
    del result.graph.value_info[:]
    batch = _Batch(name, f"{name}_size")
    _Merger(at_two, at_three, result, batch).merge()
    try:
        inferred = onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ConversionError(
            "the graph with a free batch is not valid ONNX: "
            f"{' '.join(str(error).split())}") from None
    return inferred


class _Merger:
    def __init__(self, at_two: onnx.ModelProto, at_three: onnx.ModelProto, result: onnx.ModelProto, batch: _Batch):
        self.two, self.three, self.graph, self.batch = at_two.graph, at_three.graph, result.graph, batch
        self.constants_two = {t.name: numpy_helper.to_array(t) for t in self.two.initializer}
        self.constants_three = {t.name: numpy_helper.to_array(t) for t in self.three.initializer}
        infos = zip(_infos(self.two), _infos(self.three), strict=True)
        self.shapes = {info.name: (_shape(info), _shape(other)) for info, other in infos}
        self.added: list[onnx.NodeProto] = []
        self.names = {*self.constants_two, *self.shapes, batch.tensor}
        self.names.update(name for node in self.two.node for name in (node.name, *node.output))

    def merge(self) -> None:
        source = self._name_dimensions()
        if source is None:
            raise ConversionError(
                "no input has another size at batch 3 than at batch 2; export the network at these two batch "
                "sizes")
        nodes = list(self.graph.node)
        for index, node in enumerate(nodes):
            self._merge_node(node, self.three.node[index])
        self._drop_unused_constants()
        if self.added:
            head = self._read_batch(*source)
            del self.graph.node[:]
            self.graph.node.extend([*head, *self._in_order(nodes)])

    def _name_dimensions(self) -> tuple[str, int] | None:
        """Names the free dimensions of inputs and outputs; returns the first input and axis that is the batch
        itself."""
        source = None
        for info in (*self.graph.input, *self.graph.output):
            for axis, (two, three) in enumerate(zip(*self.shapes[info.name], strict=True)):
                if two == three:
                    continue
                dim = info.type.tensor_type.shape.dim[axis]
                is_batch = (two, three) == (TWO, THREE)
                dim.dim_param = self.batch.name if is_batch else self._describe(info.name, two, three)
                if is_batch and info in self.graph.input and source is None:
                    source = info.name, axis
        return source

    def _describe(self, where: str, two: int, three: int) -> str:
        start, slope = _affine(np.array(two), np.array(three))
        return f"{slope}*{self.batch.name}" + (f"+{start}" if start else "")

    def _merge_node(self, node: onnx.NodeProto, other: onnx.NodeProto) -> None:
        for index, (name, other_name) in enumerate(zip(node.input, other.input, strict=True)):
            if name not in self.constants_two:
                continue
            two, three = self.constants_two[name], self.constants_three[other_name]
            if two.shape == three.shape and two.dtype == three.dtype and np.array_equal(two, three):
                continue
            node.input[index] = self._replace(node, index, two, three)

    def _replace(self, node: onnx.NodeProto, index: int, two: np.ndarray, three: np.ndarray) -> str:
        if two.shape != three.shape:
            return self._repeat(node, index, two, three)
        if two.dtype != np.int64 or two.ndim > 1:
            raise ConversionError(
                f"{node.name}: input {index} has other values at batch 3 than at batch 2, and is no shape; "
                "the network computes with its batch size")
        start, slope = _affine(two, three)
        if node.op_type == "Reshape" and (shape := self._free_size(node, two, slope)) is not None:
            return self._add_constant(f"{node.name}.shape", shape)
        return self._compute(node, index, start, slope)

    def _free_size(self, node: onnx.NodeProto, shape: np.ndarray, slope: np.ndarray) -> np.ndarray | None:
        """The target with -1 for its only free size, which is right since the number of elements stays; None if
        there are more."""
        free = np.flatnonzero(slope)
        if len(free) != 1 or -1 in shape or 0 in shape:
            return None
        return np.where(slope != 0, -1, shape).astype(np.int64)

    def _compute(self, node: onnx.NodeProto, index: int, start: np.ndarray, slope: np.ndarray) -> str:
        """start + slope N, as a 1-d tensor or a scalar."""
        base = f"{node.name}.{self.batch.name}.{index}"
        result = self.batch.tensor if start.ndim else self._add(base, "Squeeze", [self.batch.tensor])
        if np.any(slope != 1) or slope.size > 1:
            result = self._add(base, "Mul", [result, self._add_constant(f"{base}.slope", slope)])
        if np.any(start):
            result = self._add(base, "Add", [result, self._add_constant(f"{base}.start", start)])
        return result

    def _repeat(self, node: onnx.NodeProto, index: int, two: np.ndarray, three: np.ndarray) -> str:
        """A constant that holds one part N times along one axis, as Tile(part, N)."""
        axes = [axis for axis, (a, b) in enumerate(zip(two.shape, three.shape, strict=False)) if a != b]
        if two.ndim == three.ndim and len(axes) == 1 and two.shape[axes[0]] * THREE == three.shape[axes[0]] * TWO:
            axis = axes[0]
            part = np.take(two, range(two.shape[axis] // TWO), axis)
            repeats = np.ones(two.ndim, np.int64)
            slope = np.eye(two.ndim, dtype=np.int64)[axis]
            wholes = ((TWO, two), (THREE, three))
            if all(np.array_equal(np.tile(part, repeats + slope * (n - 1)), whole) for n, whole in wholes):
                base = f"{node.name}.{self.batch.name}.{index}"
                counts = self._compute(node, index, repeats - slope, slope)
                return self._add(base, "Tile", [self._add_constant(f"{base}.part", part), counts])
        raise ConversionError(
            f"{node.name}: input {index} is a constant of shape {list(two.shape)} at batch 2 and {list(three.shape)} "
            "at batch 3, and not one part repeated; the network computes with its batch size")

    def _add(self, base: str, operator: str, inputs: list[str]) -> str:
        output = self._unique(f"{base}.{operator}")
        self.added.append(helper.make_node(operator, inputs, [output], output))
        return output

    def _add_constant(self, base: str, array: np.ndarray) -> str:
        name = self._unique(base)
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _unique(self, wanted: str) -> str:
        name, count = wanted, 0
        while name in self.names:
            count += 1
            name = f"{wanted}_{count}"
        self.names.add(name)
        return name

    def _read_batch(self, source: str, axis: int) -> list[onnx.NodeProto]:
        return [helper.make_node("Shape", [source], [self.batch.tensor], self.batch.tensor, start=axis, end=axis + 1)]

    def _in_order(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        # What was added depends on the batch size and constants alone, so that it may come first.
        return [*self.added, *nodes]

    def _drop_unused_constants(self) -> None:
        used = {name for node in (*self.graph.node, *self.added) for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)


def _check_structure(two: onnx.GraphProto, three: onnx.GraphProto) -> None:
    """The graphs must be equal but for constants and shapes."""
    if len(two.node) != len(three.node) or len(two.input) != len(three.input) or len(two.output) != len(three.output):
        raise ConversionError(
            f"the network has {len(two.node)} operators at batch 2 and {len(three.node)} at batch 3; it branches on "
            "its batch size")
    constants = {t.name for t in two.initializer}, {t.name for t in three.initializer}
    same = {}
    for node, other in zip(two.node, three.node, strict=True):
        inputs = [("constant" if name in constants[0] else same.get(name, name)) for name in node.input]
        others = ["constant" if name in constants[1] else name for name in other.input]
        attributes = [sorted(a.SerializeToString() for a in n.attribute) for n in (node, other)]
        if (node.op_type, inputs, len(node.output), attributes[0]) != (
                other.op_type, others, len(other.output), attributes[1]):
            raise ConversionError(
                f"{node.name}: {node.op_type} at batch 2 is {other.op_type} with other inputs or attributes "
                "at batch 3; the network branches on its batch size")
        same.update(zip(node.output, other.output, strict=True))


def _affine(two: np.ndarray, three: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(start, slope) of start + slope N through the values at N = 2 and N = 3."""
    slope = three - two
    return two - TWO * slope, slope


def _infos(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    return [*graph.input, *graph.output]


def _shape(info: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
