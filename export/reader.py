"""MindIR -> `Program`: constants gathered over all graphs, monads and loads resolved away, unused nodes dropped."""

import re
from collections.abc import Iterable
from pathlib import Path

from msnoah.errors import ConversionError
from msnoah.export.aliasing import overwrites
from msnoah.export.constants import MAX_SHOWN, MONADS, read_attribute, read_tensor, read_tensor_type, read_type
from msnoah.export.graph import Graph, GraphReference, Node, Program
from msnoah.export.mindir_file import MindirFile

PREFIX = "REF::"
ALIASES = {"Load", "Depend"}
"""Primitives that return their first operand; the others of their operands only order side effects. When a Load reads
matters only in a program that overwrites."""

_NOT_NAMING = re.compile("[^A-Za-z0-9._-]")

MONAD_TYPES = {"UMonadType", "IOMonadType"}
"""Types of the inputs of a sub-graph that only order side effects."""


def read_mindir(source: str | Path | bytes) -> Program:
    """Reads a MindIR file, or its bytes, with static shapes.

    The weights are views of the file: while the program is in use, nothing may write to the file.

    Raises:
        ConversionError: the file cannot be read (see `MindirFile`), refers to what it does not hold, has run-time
            shapes, or writes to its parameters.
    """
    file = MindirFile(source)
    try:
        return _ProgramReader(file).read()
    except (UnicodeError, RecursionError, OverflowError) as error:
        raise ConversionError(f"{file.where} is damaged: {error}") from None


class _ProgramReader:
    def __init__(self, file: MindirFile):
        self.file, self.model, self.where = file, file.model, file.where
        self.primitives = {primitive.name: primitive for primitive in self.model.primitives}
        self.overwriting = any(overwrites(primitive.op_type) for primitive in self.model.primitives)
        self.graphs = [self.model.graph, *self.model.functions]
        self.known, self.parameters, self.monads = {}, {}, set()

    def read(self) -> Program:
        self._gather_parameters()
        for graph in self.graphs:
            self._gather_constants(graph)
        input_types = [self._input_type(info) for info in self.model.graph.input]
        functions = {graph.name: self._read_graph(graph) for graph in self.graphs}
        main = functions.pop(self.model.graph.name)
        return Program(main, functions, input_types, self.known, self.parameters)

    def _gather_constants(self, graph) -> None:
        self.known[graph.name] = GraphReference(graph.name)
        for node in graph.node:
            if node.op_type == "Constant" and node.output:
                self._gather_constant(node)

    def _gather_parameters(self) -> None:
        for index, tensor in enumerate(self.model.graph.parameter):
            name = ascii_name(tensor.ref_key or tensor.name)
            place = f"{self.where}: parameter '{name}'"
            self.known[tensor.name] = read_tensor(tensor, place, self.file.read_weight(index, place))
            self.parameters[tensor.name] = name

    def _gather_constant(self, node) -> None:
        value = next((attribute for attribute in node.attribute if attribute.name == "value"), None)
        if value is None:
            raise self._damaged(f"constant '{ascii_name(node.output[0])}' has no value")
        if value.type in MONADS:
            self.monads.add(node.output[0])
        else:
            self.known[node.output[0]] = read_attribute(value)

    def _input_type(self, info):
        place = f"{self.where}: input '{short_name(info.name)}'"
        if len(info.tensor) != 1:
            raise ConversionError(f"{place} is no tensor; pass tensors to construct")
        return read_tensor_type(info.tensor[0], place)

    def _read_graph(self, graph) -> Graph:
        nodes, aliases = [], {}
        self.monads.update(info.name for info in graph.input if info.denotation in MONAD_TYPES)
        for proto in graph.node:
            if proto.op_type == "Constant":
                continue
            node = self._read_node(proto, aliases)
            if node.primitive in ALIASES and node.operands and not (self.overwriting and node.primitive == "Load"):
                aliases[node.output] = node.operands[0]
            elif node.primitive == "UpdateState":
                self.monads.add(node.output)
            else:
                nodes.append(node)
        outputs = [aliases.get(info.name, info.name) for info in graph.output]
        inputs = [info.name for info in graph.input if info.name not in self.monads]
        self._check_names(graph.name, inputs, nodes, outputs)
        return Graph(graph.name, inputs, outputs, self._drop_unused(nodes, outputs))

    def _read_node(self, proto, aliases: dict[str, str]) -> Node:
        target = proto.op_type.removeprefix(PREFIX)
        if len(proto.output) != 1 or not proto.op_type.startswith(PREFIX):
            raise self._damaged(f"a node of type '{ascii_name(proto.op_type)}' has {len(proto.output)} outputs")
        primitive = self.primitives.get(target)
        scope = readable_scope(proto.domain)
        kind = ascii_name(primitive.op_type[:MAX_SHOWN]) if primitive else ""
        if not target or primitive and not kind:
            raise self._damaged(f"'{ascii_name(proto.output[0])}' is made by a primitive without a name")
        place = f"{self.where}: {'.'.join(part for part in (scope, kind or 'call') if part)}"
        type_ = next((read_type(a, place) for a in proto.attribute if a.name == "shape"), None)
        return Node(
            primitive=kind,
            callee="" if primitive else aliases.get(target, target),
            scope=scope,
            operands=[aliases.get(name, name) for name in proto.input if name not in self.monads],
            output=proto.output[0],
            attributes={a.name: read_attribute(a) for a in primitive.attribute} if primitive else {},
            type=type_,
        )

    def _check_names(self, graph: str, inputs: list[str], nodes: list[Node], outputs: list[str]) -> None:
        defined = {*self.known, *inputs}
        for node in nodes:
            # A value of an enclosing graph may be used in a sub-graph, so only the main graph is complete in itself.
            unknown = [name for name in (*node.operands, node.callee) if name and name not in defined]
            if unknown and graph == self.model.graph.name:
                raise self._damaged(f"{node.name} refers to '{ascii_name(unknown[0])}', which is not in the file")
            if node.output in defined:
                raise self._damaged(f"'{ascii_name(node.output)}' is defined twice")
            defined.add(node.output)
        if not outputs or any(name not in defined for name in outputs):
            raise self._damaged(f"the outputs of graph '{ascii_name(graph)}' are not in the file")

    def _damaged(self, fault: str) -> ConversionError:
        return ConversionError(f"{self.where} is damaged or cut off: {fault}")

    def _drop_unused(self, nodes: list[Node], outputs: list[str]) -> list[Node]:
        used, kept = set(outputs), []
        for node in reversed(nodes):
            if node.output in used or overwrites(node.primitive):
                used.update(node.operands)
                used.add(node.callee)
                kept.append(node)
        return kept[::-1]


def readable_scope(domain: str) -> str:
    """`Default/blocks-SequentialCell/0-Block/qkv-Dense/MatMul-op0` -> `blocks.0.qkv`; ASCII only."""
    parts = [part.rpartition("-")[0] or part for part in domain.split("/")[:-1]]
    return ascii_name(".".join(parts[1:]))


def short_name(name: str) -> str:
    """`310_309_1___main___ViT_construct_55:x` -> `x`: the name without the graph it stands in."""
    return ascii_name(name.rpartition(":")[2])


def ascii_name(name: str) -> str:
    """The name with everything but ASCII letters, digits, dot, underscore and minus replaced by `_`."""
    return _NOT_NAMING.sub("_", name)


def unique_name(wanted: str, taken: Iterable[str]) -> str:
    """`wanted`, or `wanted_1`, `wanted_2`, ... : the first that is not taken."""
    name, count = wanted, 0
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    return name
