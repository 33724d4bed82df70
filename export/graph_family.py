"""One network converted at several sizes, node by node: graphs that are equal but for shapes and constants."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from msnoah.errors import ConversionError
from msnoah.export.size_expressions import Dimension
from msnoah.export.size_free_nodes import free_of_size

Constants = dict[str, onnx.TensorProto]
_CONSTANT = "constant"
_GRAPH = onnx.AttributeProto.GRAPH


@dataclass(frozen=True)
class Match:
    """The same node in every conversion.

    Attributes:
        nodes: one for each conversion.
        constants: the constants among its inputs, by index, one for each conversion.
        form: the operator and attributes that hold at every size, where the nodes have others at each.
        inner: each sub-graph that it holds: its graphs, one for each conversion, and their matches.
    """

    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[int, tuple[onnx.TensorProto, ...]]
    form: onnx.NodeProto | None
    inner: tuple[tuple[tuple[onnx.GraphProto, ...], list["Match"]], ...]


class GraphFamily:
    """Conversions of one network.

    Attributes:
        graphs: one for each conversion.
        matches: the nodes in running order.

    Raises:
        ConversionError: the graphs differ in more than shapes and constants; names the first node that does.
    """

    def __init__(self, graphs: Sequence[onnx.GraphProto]):
        self.graphs = tuple(graphs)
        self._shapes: list[dict[str, tuple[int, ...]]] = [{} for _ in graphs]
        self._first_names: list[dict[str, str]] = [{} for _ in graphs]  # name in a conversion -> name in the first
        self._names: list[dict[str, str]] = [{} for _ in graphs]  # the other way round
        self.matches = self._match(self.graphs, [{} for _ in graphs])

    def shapes(self, value: str) -> list[tuple[int, ...]]:
        """The shapes of a value, by its name in the first conversion; empty where one of them is not declared."""
        found = [shapes.get(names.get(value)) for shapes, names in zip(self._shapes, self._names, strict=True)]
        return [] if any(shape is None or len(shape) != len(found[0]) for shape in found) else found

    def dimensions(self, value: str) -> list[Dimension]:
        """The axes of a value whose size is not the same in all conversions."""
        columns = enumerate(zip(*self.shapes(value), strict=True))
        return [Dimension(value, axis, sizes) for axis, sizes in columns if len({*sizes}) > 1]

    def _match(self, graphs: tuple[onnx.GraphProto, ...], outer: list[Constants]) -> list[Match]:
        counts = list(dict.fromkeys(len(graph.node) for graph in graphs))
        if len(counts) > 1 or len({(len(graph.input), len(graph.output)) for graph in graphs}) > 1:
            raise ConversionError(
                f"the network has {' and '.join(map(str, counts))} operators at different sizes; it branches on the "
                "size of its input")
        for shapes, graph in zip(self._shapes, graphs, strict=True):
            shapes.update((info.name, _shape(info)) for info in (*graph.input, *graph.value_info, *graph.output))
        self._learn([graph.input for graph in graphs])
        constants = [known | {t.name: t for t in graph.initializer} for known, graph in zip(outer, graphs, strict=True)]
        return [self._match_node(nodes, constants) for nodes in zip(*(graph.node for graph in graphs), strict=True)]

    def _match_node(self, nodes: tuple[onnx.NodeProto, ...], constants: list[Constants]) -> Match:
        places = list(zip(nodes, constants, self._first_names, strict=True))
        attributes = [_attributes(node) for node in nodes]
        form = None if all(other == attributes[0] for other in attributes) else self._find_form(nodes)
        for node, look, own in zip(nodes, itertools.starmap(_look, places), attributes, strict=True):
            if look != _look(*places[0]) or (form is None and own != attributes[0]):
                raise ConversionError(
                    f"{nodes[0].name}: {nodes[0].op_type} at one size is {node.op_type} with other inputs or "
                    "attributes at another; the network branches on the size of its input")
        for names, firsts, node in zip(self._names, self._first_names, nodes, strict=True):
            names.update(zip(nodes[0].output, node.output, strict=True))
            firsts.update(zip(node.output, nodes[0].output, strict=True))
        held = {
            index: tuple(known[node.input[index]] for node, known in zip(nodes, constants, strict=True))
            for index, name in enumerate(nodes[0].input) if name in constants[0]
        }
        inner = zip(*map(sub_graphs, nodes), strict=True)
        return Match(nodes, held, form, tuple((graphs, self._match(graphs, constants)) for graphs in inner))

    def _find_form(self, nodes: tuple[onnx.NodeProto, ...]) -> onnx.NodeProto | None:
        firsts = [node.input[0] if node.input else "" for node in nodes]
        return free_of_size(nodes, [shapes.get(name) for shapes, name in zip(self._shapes, firsts, strict=True)])

    def _learn(self, infos: list[Sequence[onnx.ValueInfoProto]]) -> None:
        for names, firsts, own in zip(self._names, self._first_names, infos, strict=True):
            pairs = [(first.name, info.name) for first, info in zip(infos[0], own, strict=True)]
            names.update(pairs)
            firsts.update((name, first) for first, name in pairs)


def sub_graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The bodies of an If or a Loop."""
    return [attribute.g for attribute in node.attribute if attribute.type == _GRAPH]


def _look(node: onnx.NodeProto, constants: Constants, firsts: dict[str, str]) -> tuple:
    """Operator, inputs and number of outputs, which must be the same in all conversions."""
    inputs = [_CONSTANT if name in constants else firsts.get(name, name) for name in node.input]
    return node.op_type, inputs, len(node.output)


def _attributes(node: onnx.NodeProto) -> list[bytes]:
    """The attributes, of sub-graphs only their names."""
    return sorted(a.name.encode() if a.type == _GRAPH else a.SerializeToString() for a in node.attribute)


def _shape(info: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
