"""The abstract interpreter: what is known at export is a Python value, only run-time tensors become ONNX values."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.aliasing import Memory
from msnoah.export.builder import Builder
from msnoah.export.control_flow import ControlFlow, Jump
from msnoah.export.graph import Graph, GraphReference, Node, Program, TensorType, Type, Value
from msnoah.export.ops import HANDLERS
from msnoah.export.reader import ascii_name, short_name
from msnoah.export.structure import STRUCTURE

RECURSION_LIMIT = 20_000
"""Python's own limit while a program runs; `control_flow` has limits that come first."""

MAX_NODES = 50_000
"""Primitives and calls that one conversion goes through: calls of calls, and loops unrolled, can be without end."""


class Interpreter:
    """Runs a program on what is known and on `Value`s for what is not; the builder records what remains to run."""

    def __init__(self, program: Program, builder: Builder):
        self.program, self.builder = program, builder
        self.count = 0
        functions = {**program.functions, program.main.name: program.main}
        self.memory = Memory(program)
        self.control_flow = ControlFlow(builder, self.memory, functions, self.run_block)

    def run(self, input_names: list[str] | None, output_names: list[str] | None) -> None:
        """Builds the whole graph with its inputs and outputs; by default they bear MindIR's names."""
        program, builder = self.program, self.builder
        for name, parameter in program.parameters.items():
            builder.name_constant(program.known[name], ascii_name(parameter))
        names = input_names or [short_name(name) for name in program.main.inputs]
        _check_count("input", names, program.main.inputs)
        builder.graph.reserve(output_names or ())
        inputs = [builder.graph.add_input(name, type_) for name, type_ in zip(names, program.input_types, strict=True)]
        with _deep_recursion():
            result = self.control_flow.call(GraphReference(program.main.name), tuple(inputs))
        results = list(_flatten(self.memory.read(result, "the output")))
        default = ["output"] if len(results) == 1 else [f"output_{index}" for index in range(len(results))]
        names = output_names or [builder.graph.unique(name) for name in default]
        for name, result in zip(_check_count("output", names, results), results, strict=True):
            builder.add_output(name, result)
        del self.control_flow  # It refers back to here, and so would keep all that was computed from the weights.

    def run_block(self, graph: Graph, arguments: tuple[Any, ...]) -> Any:
        """Evaluates a graph; returns its result, or the Jump that gives it if a call is the last that it does."""
        if len(arguments) != len(graph.inputs):
            raise ConversionError(
                f"sub-graph '{ascii_name(graph.name)}' takes {len(graph.inputs)} values, {len(arguments)} are given")
        values = {**self.program.known, **dict(zip(graph.inputs, arguments, strict=True))}
        uses = Counter(graph.outputs) + Counter(name for node in graph.nodes for name in node.reads())
        for node in graph.nodes:
            if node.callee and [node.output] == graph.outputs:
                callee = _look_up(values, node.callee, node.name)
                return Jump(callee, tuple(_look_up(values, name, node.name) for name in node.operands))
            values[node.output] = self.evaluate(node, values)
            uses.subtract(node.reads())
            for name in node.reads():  # What weights are made into is as large as they are; it goes early.
                if not uses[name]:
                    values.pop(name, None)
        outputs = tuple(_look_up(values, name, graph.name) for name in graph.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def evaluate(self, node: Node, values: dict[str, Any]) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            raise ConversionError(
                f"{node.name}: over {MAX_NODES} primitives with all calls and loops written out; use fewer, or a while "
                "loop over tensors")
        operands = [_look_up(values, name, node.name) for name in node.operands]
        if node.callee:
            self.builder.scope = node.scope
            return self.control_flow.call(_look_up(values, node.callee, node.name), tuple(operands))
        if node.primitive not in STRUCTURE:
            self.builder.enter(node)
        handle = STRUCTURE.get(node.primitive) or HANDLERS[node.primitive]
        try:
            result = handle(self.builder, node, self.memory.read_operands(node, operands))
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, MemoryError) as error:
            raise ConversionError(
                f"{node.name}: {node.primitive} has operands that no ONNX form is known for "
                f"({' '.join(str(error).split())})") from error
        _check_type(node, result, node.type)
        return self.memory.record(node, operands, result)


@contextmanager
def _deep_recursion() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _look_up(values: dict[str, Any], name: str, where: str) -> Any:
    if name not in values:
        raise ConversionError(
            f"{ascii_name(where)} refers to '{ascii_name(name)}', which is not in the file; it is damaged or cut "
            "off")
    return values[name]


def _check_type(node: Node, result: Any, type_: Type) -> None:
    """The type that ONNX infers must be the one that MindIR declares: an independent check of every handler."""
    if isinstance(result, tuple) and isinstance(type_, tuple):
        for item, item_type in zip(result, type_, strict=False):
            _check_type(node, item, item_type)
    elif isinstance(result, Value | np.ndarray) and isinstance(type_, TensorType):
        found = TensorType(result.dtype, tuple(result.shape))
        if found != type_:
            raise ConversionError(f"{node.name}: the ONNX form gives {found}, MindIR declares {type_}")


def _check_count(kind: str, names: list[str], needed: list) -> list[str]:
    if len(names) != len(needed) or len(set(names)) != len(names):
        raise ConversionError(f"{len(needed)} different {kind} names are needed; given: {', '.join(names)}")
    return names


def _flatten(result: Any) -> Iterator[Any]:
    if isinstance(result, tuple):
        for item in result:
            yield from _flatten(item)
    else:
        yield result
