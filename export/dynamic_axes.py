"""One graph for every size, from conversions of the same network at several sizes.

With static shapes, batch, height and width are baked into shapes and counts. Conversions at other sizes tell these
numbers apart from all others: what is equal is kept, what differs is computed from sizes that the running graph can
read, and what cannot be computed is refused.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from msnoah.errors import ConversionError
from msnoah.export.graph_family import GraphFamily, Match, sub_graphs
from msnoah.export.onnx_file import check_onnx
from msnoah.export.size_expressions import Dimension, Expression, Sizes, find_expression
from msnoah.export.size_nodes import SizeNodes

WITHOUT_SIZES = ("-multiply_for_means",)
"""Passes, as `mindir_to_onnx` takes them, that leave sizes other than the batch in shapes alone, not in weights."""


def make_axes_dynamic(models: Sequence[onnx.ModelProto], axes: Sequence[str] = ("batch",)) -> onnx.ModelProto:
    """Merges conversions of one network at different sizes into one that takes any size.

    Args:
        models: what `mindir_to_onnx` gave for each size; the first is the one that is completed. It takes two sizes
            of an axis to see what depends on it, and a third one where that is more than a multiple of the size.
        axes: names of the sizes that differ, in the order in which they stand in the inputs' shapes.

    Returns:
        A model whose inputs and outputs name these axes; it shares no memory with `models`.

    Raises:
        ConversionError: the sizes do not tell the axes apart, or the graphs differ in something that cannot be
            computed from the input's shape; names the node.
    """
    family = GraphFamily([model.graph for model in models])
    result = onnx.ModelProto()
    result.CopyFrom(models[0])
    _Merger(family, result, _find_axes(family, axes)).merge()
    check_onnx(result)
    return result


def _find_axes(family: GraphFamily, names: Sequence[str]) -> dict[Sizes, str]:
    """The sizes of each named axis, in every conversion."""
    found: dict[Sizes, str] = {}
    for dimension in _input_dimensions(family):
        if dimension.sizes not in found and len(found) == len(names):
            raise ConversionError(
                f"input '{dimension.value}' has {' or '.join(map(str, dimension.sizes))} at axis {dimension.axis}, "
                f"which is none of {', '.join(names)}; name this axis too, or give exports that have one size there")
        found.setdefault(dimension.sizes, names[min(len(found), len(names) - 1)])
    if len(found) < len(names):
        sizes = " or ".join(names[len(found):])
        raise ConversionError(
            f"no input changes its {sizes} separately; give exports of the network that differ in it alone")
    table = np.array([[1] * len(family.graphs), *found], np.int64)
    if np.linalg.matrix_rank(table) < len(table):
        raise ConversionError(
            f"{len(family.graphs)} exports do not tell {', '.join(names)} apart; for each give one that differs in it "
            "alone")
    return found


def _input_dimensions(family: GraphFamily) -> Iterator[Dimension]:
    for info in family.graphs[0].input:
        yield from family.dimensions(info.name)


class _Merger:
    def __init__(self, family: GraphFamily, result: onnx.ModelProto, axes: dict[Sizes, str]):
        self.family, self.graph, self.axes = family, result.graph, axes
        self.inputs = [d for d in _input_dimensions(family) if d.sizes in axes]
        self.sizes = SizeNodes(result)
        self.producers = {name: match for match in family.matches for name in match.nodes[0].output}

    def merge(self) -> None:
        """Completes the graph in place."""
        nodes = list(self.graph.node)
        merged = []
        for node, match in zip(nodes, self.family.matches, strict=True):
            self._merge_node(node, match, [*self.inputs, *self._earlier_dimensions(match)])
            merged += [*self.sizes.take_nodes(), node]
        del self.graph.node[:]
        self.graph.node.extend(merged)
        self._name_dimensions()
        self._drop_unused_constants()

    # --- one node

    def _merge_node(self, node: onnx.NodeProto, match: Match, known: list[Dimension]) -> None:
        if match.form is not None:
            node.op_type = match.form.op_type
            del node.attribute[:]
            node.attribute.extend(match.form.attribute)
        for index, tensors in match.constants.items():
            if any(not _same(tensors[0], tensor) for tensor in tensors):
                arrays = [numpy_helper.to_array(tensor) for tensor in tensors]
                node.input[index] = self._replace(node, index, arrays, known)
        for graph, (_, matches) in zip(sub_graphs(node), match.inner, strict=True):
            self._merge_inner(graph, matches)

    def _merge_inner(self, graph: onnx.GraphProto, matches: list[Match]) -> None:
        """A body of If or Loop reads the sizes of the main graph's inputs, computed before the If or Loop."""
        for node, match in zip(graph.node, matches, strict=True):
            self._merge_node(node, match, self.inputs)
        for info in (*graph.input, *graph.output):
            for dimension in self.family.dimensions(info.name):
                info.type.tensor_type.shape.dim[dimension.axis].Clear()
        del graph.value_info[:]

    def _replace(self, node: onnx.NodeProto, index: int, arrays: list[np.ndarray], known: list[Dimension]) -> str:
        if len({array.shape for array in arrays}) > 1:
            return self._repeat(node, index, arrays, known)
        if arrays[0].dtype != np.int64 or arrays[0].ndim > 1:
            raise ConversionError(
                f"{node.name}: input {index} has other values at another size, and is no shape; the network computes "
                "with the size of its input, or the exports have different weights")
        items = _columns(arrays)
        if node.op_type == "Reshape":
            items = self._shorten(node, items)
        parts = [self._express(node, index, item, known) for item in items]
        return self.sizes.vector(f"{node.name}.{index}", parts, scalar=arrays[0].ndim == 0)

    def _express(self, node: onnx.NodeProto, index: int, item: int | Sizes, known: list[Dimension]) -> int | Expression:
        if isinstance(item, int):
            return item
        expression = find_expression(item, known)
        if expression is None:
            raise ConversionError(
                f"{node.name}: input {index} is {', '.join(map(str, item))} where {self._describe_sizes()}, which no "
                "expression gives that these sizes prove; give exports at more sizes, or keep the size fixed")
        return expression

    def _describe_sizes(self) -> str:
        return " and ".join(f"{name} is {', '.join(map(str, sizes))}" for sizes, name in self.axes.items())

    def _shorten(self, node: onnx.NodeProto, target: list[int | Sizes]) -> list[int | Sizes]:
        """Reshape's own words: -1 is the one size that is left, 0 the size of the same axis of its input."""
        free = [axis for axis, item in enumerate(target) if not isinstance(item, int)]
        if -1 in target or 0 in target:
            return target
        if len(free) > 1:
            same = {d.axis: d.sizes for d in self.family.dimensions(node.input[0])}
            target = [0 if axis in free and same.get(axis) == item else item for axis, item in enumerate(target)]
            free = [axis for axis in free if target[axis] != 0]
        return [-1 if free and axis == free[-1] else item for axis, item in enumerate(target)]

    def _repeat(self, node: onnx.NodeProto, index: int, arrays: list[np.ndarray], known: list[Dimension]) -> str:
        """A constant that holds one part several times along one axis, as Tile(part, count)."""
        shapes = [array.shape for array in arrays]
        axes = [axis for axis, column in enumerate(zip(*shapes, strict=False)) if len({*column}) > 1]
        if len({len(shape) for shape in shapes}) == 1 and len(axes) == 1:
            axis = axes[0]
            length = math.gcd(*(shape[axis] for shape in shapes))
            part = np.take(arrays[0], range(length), axis)
            counts = [[array.shape[a] // part.shape[a] for a in range(part.ndim)] for array in arrays]
            if all(np.array_equal(np.tile(part, count), array) for count, array in zip(counts, arrays, strict=True)):
                parts = [self._express(node, index, item, known) for item in _columns(np.array(counts))]
                return self.sizes.tile(f"{node.name}.{index}", part, parts)
        described = " and ".join(str(list(shape)) for shape in dict.fromkeys(shapes))
        raise ConversionError(
            f"{node.name}: input {index} is a constant of shape {described} at different sizes, and not one part "
            "repeated; the network computes with the size of its input")

    def _earlier_dimensions(self, match: Match) -> Iterator[Dimension]:
        """Dimensions of what a node depends on, the nearest first."""
        waiting, seen = [name for name in match.nodes[0].input], set()
        for name in waiting:
            if name in seen:
                continue
            seen.add(name)
            yield from self.family.dimensions(name)
            if name in self.producers:
                waiting.extend(self.producers[name].nodes[0].input)

    # --- the whole graph

    def _name_dimensions(self) -> None:
        """Inputs and outputs say what their sizes depend on. Inner values do so where it is an axis itself: runtimes
        plan memory by these names, so they must hold at every size."""
        for info in (*self.graph.input, *self.graph.output, *self.graph.value_info):
            for dimension in self.family.dimensions(info.name):
                dim = info.type.tensor_type.shape.dim[dimension.axis]
                dim.Clear()
                if name := self.axes.get(dimension.sizes):
                    dim.dim_param = name
        for info in self.graph.output:
            for dimension in self.family.dimensions(info.name):
                if expression := find_expression(dimension.sizes, self.inputs):
                    info.type.tensor_type.shape.dim[dimension.axis].dim_param = expression.describe(self.axes)

    def _drop_unused_constants(self) -> None:
        used = set(_read_names(self.graph))
        for index in reversed(range(len(self.graph.initializer))):
            if self.graph.initializer[index].name not in used:
                del self.graph.initializer[index]


def _read_names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (info.name for info in graph.output)
    for node in graph.node:
        yield from node.input
        for inner in sub_graphs(node):
            yield from _read_names(inner)


def _columns(arrays: Sequence[np.ndarray]) -> list[int | Sizes]:
    """Element by element: the number, or the numbers of all conversions where they differ."""
    columns = [tuple(map(int, column)) for column in zip(*(np.atleast_1d(array) for array in arrays), strict=True)]
    return [column[0] if len({*column}) == 1 else column for column in columns]


def _same(tensor: onnx.TensorProto, other: onnx.TensorProto) -> bool:
    return (tensor.data_type, tensor.dims, tensor.raw_data) == (other.data_type, other.dims, other.raw_data)
