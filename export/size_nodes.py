"""ONNX nodes that compute sizes from the shapes of a running graph."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from msnoah.export.reader import unique_name
from msnoah.export.size_expressions import Dimension, Expression

SHAPE_OF_AXES = 15
"""The operator set from which on Shape reads single axes."""


class SizeNodes:
    """Appends constants to a model's graph and collects the nodes that go before the one that reads a size.

    The same expression, and the same vector of them, is computed once.
    """

    def __init__(self, model: onnx.ModelProto):
        self.graph = model.graph
        self.opset = next(entry.version for entry in model.opset_import if entry.domain == "")
        self._names = {*_defined_names(model.graph)}
        self._nodes: list[onnx.NodeProto] = []
        self._known: dict[object, str] = {}

    def take_nodes(self) -> list[onnx.NodeProto]:
        """What has been added since the last call, in running order."""
        nodes, self._nodes = self._nodes, []
        return nodes

    def vector(self, base: str, parts: Sequence[int | Expression], *, scalar: bool = False) -> str:
        """The name of a 1-d int64 tensor with one element a part; of its only element as a 0-d tensor if `scalar`."""
        key = (*parts, scalar)
        if key not in self._known:
            self._known[key] = self._build_vector(base, parts, scalar)
        return self._known[key]

    def tile(self, base: str, part: np.ndarray, counts: Sequence[int | Expression]) -> str:
        """The name of a constant repeated along its axes."""
        return self._add(base, "Tile", self._constant(f"{base}.part", part), self.vector(base, counts))

    def _build_vector(self, base: str, parts: Sequence[int | Expression], scalar: bool) -> str:
        if not any(isinstance(part, Expression) for part in parts):
            return self._constant(f"{base}.size", np.array(parts[0] if scalar else parts, np.int64))
        names = [self._number(part) if isinstance(part, int) else self._expression(part) for part in parts]
        if scalar:
            return self._add(base, "Squeeze", names[0])
        return names[0] if len(names) == 1 else self._add(base, "Concat", *names, axis=0)

    def _expression(self, expression: Expression) -> str:
        if expression not in self._known:
            first, *others = map(self._dimension, expression.dimensions)
            for other in others:
                first = self._add("size", "Mul", first, other)
            steps = ("Mul", expression.factor, 1), ("Add", expression.offset, 0), ("Div", expression.divisor, 1)
            for operator, number, neutral in steps:
                first = first if number == neutral else self._add("size", operator, first, self._number(number))
            self._known[expression] = first
        return self._known[expression]

    def _dimension(self, dimension: Dimension) -> str:
        key = dimension.value, dimension.axis
        if key not in self._known:
            self._known[key] = self._read(*key)
        return self._known[key]

    def _read(self, value: str, axis: int) -> str:
        if self.opset >= SHAPE_OF_AXES:
            return self._add(value, "Shape", value, start=axis, end=axis + 1)
        return self._add(value, "Gather", self._add(value, "Shape", value), self._number(axis))

    def _number(self, number: int) -> str:
        if number not in self._known:
            self._known[number] = self._constant(f"size.{number}", np.array([number], np.int64))
        return self._known[number]

    def _add(self, base: str, operator: str, *inputs: str, **attributes) -> str:
        name = self._unique(f"{base}.{operator}")
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def _constant(self, base: str, array: np.ndarray) -> str:
        name = self._unique(base)
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _unique(self, wanted: str) -> str:
        name = unique_name(wanted, self._names)
        self._names.add(name)
        return name


def _defined_names(graph: onnx.GraphProto):
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer))
    for node in graph.node:
        yield from (node.name, *node.output)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _defined_names(attribute.g)
