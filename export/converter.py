"""MindIR -> ONNX, as an abstract interpreter: what is known at export is a Python value, only run-time tensors
become ONNX values."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from msnoah.errors import ConversionError
from msnoah.export.aliasing import check_overwrites
from msnoah.export.builder import Builder
from msnoah.export.graph import Graph, GraphReference, Node, Program, TensorType, Type, Value
from msnoah.export.ops import HANDLERS
from msnoah.export.passes import run_passes
from msnoah.export.reader import ascii_name, read_mindir, short_name

OLDEST_OPSET, NEWEST_OPSET = 17, 22
"""Operator sets that the handlers are written for: LayerNormalization came with 17."""

MAX_DEPTH = 200
"""Calls inside calls; more is a loop whose end is known only at run time."""


def mindir_to_onnx(
    source: str | Path | bytes,
    *,
    opset: int = 17,
    input_names: list[str] | None = None,
    output_names: list[str] | None = None,
) -> onnx.ModelProto:
    """Converts a MindIR file with static shapes.

    Args:
        source: path or contents of a file that `mindspore.export` wrote.
        opset: ONNX operator set, 17 to 22; from 20 on GELU is one operator instead of Erf and arithmetic.
        input_names: names for the inputs, in order; by default those of `construct`.
        output_names: names for the outputs, in order (nested tuples flattened); by default output, or output_0,
            output_1, ...

    Returns:
        A model that passes `onnx.checker`; the same network gives the same bytes.

    Raises:
        ConversionError: the file cannot be read, holds primitives without handler (all are named at once), or a node
            has no ONNX form.
    """
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ConversionError(f"opset {opset} is not known; use {OLDEST_OPSET} to {NEWEST_OPSET}")
    program = read_mindir(source)
    check_overwrites(program)
    check_primitives(program)
    builder = Builder(opset)
    _Interpreter(program, builder).run(input_names, output_names)
    run_passes(builder.graph)
    model = builder.graph.to_model()
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"the converted graph is not valid ONNX: {' '.join(str(error).split())}") from None
    return model


def find_operators(source: str | Path | bytes, *, opset: int = 17) -> dict[str, set[str]]:
    """The ONNX operators that each primitive of a MindIR file becomes, before the graph is cleaned up."""
    program = read_mindir(source)
    check_primitives(program)
    builder = Builder(opset)
    _Interpreter(program, builder).run(None, None)
    return builder.operators


def check_primitives(program: Program) -> None:
    """Refuses a program with primitives that nothing handles: all of them, with counts and the first node of each."""
    missing, first = Counter(), {}
    for graph in (program.main, *program.functions.values()):
        for node in graph.nodes:
            if node.primitive and node.primitive not in HANDLERS and node.primitive not in STRUCTURE:
                missing[node.primitive] += 1
                first.setdefault(node.primitive, node.name)
    if missing:
        listed = ", ".join(f"{name} ({count}, first {first[name]})" for name, count in missing.most_common())
        raise ConversionError(f"no ONNX form is known for {len(missing)} primitive{'s' * (len(missing) > 1)}: {listed}")


class _Interpreter:
    def __init__(self, program: Program, builder: Builder):
        self.program, self.builder = program, builder
        self.depth = 0

    def run(self, input_names: list[str] | None, output_names: list[str] | None) -> None:
        program, builder = self.program, self.builder
        for name, parameter in program.parameters.items():
            builder.name_constant(program.known[name], ascii_name(parameter))
        names = input_names or [short_name(name) for name in program.main.inputs]
        _check_count("input", names, program.main.inputs)
        builder.graph.reserve(output_names or ())
        inputs = [builder.graph.add_input(name, type_) for name, type_ in zip(names, program.input_types, strict=True)]
        results = list(_flatten(self.call(program.main, inputs)))
        default = ["output"] if len(results) == 1 else [f"output_{index}" for index in range(len(results))]
        names = output_names or [builder.graph.unique(name) for name in default]
        for name, result in zip(_check_count("output", names, results), results, strict=True):
            builder.add_output(name, result)

    def call(self, graph: Graph, arguments: list[Any]) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ConversionError(
                f"sub-graph '{ascii_name(graph.name)}' calls itself; a loop that ends at run time cannot be "
                "converted")
        if len(arguments) != len(graph.inputs):
            raise ConversionError(
                f"sub-graph '{ascii_name(graph.name)}' takes {len(graph.inputs)} values, {len(arguments)} are "
                "given")
        values = {**self.program.known, **dict(zip(graph.inputs, arguments, strict=True))}
        for node in graph.nodes:
            values[node.output] = self.evaluate(node, values)
        self.depth -= 1
        outputs = tuple(_look_up(values, name, graph.name) for name in graph.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def evaluate(self, node: Node, values: dict[str, Any]) -> Any:
        operands = [_look_up(values, name, node.name) for name in node.operands]
        if node.callee:
            return self.call_value(_look_up(values, node.callee, node.name), operands, node)
        if node.primitive in STRUCTURE:
            return STRUCTURE[node.primitive](node, operands)
        self.builder.enter(node)
        try:
            result = HANDLERS[node.primitive](self.builder, node, operands)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError, MemoryError) as error:
            raise ConversionError(
                f"{node.name}: {node.primitive} has operands that no ONNX form is known for "
                f"({error})") from error
        _check_type(node, result, node.type)
        return result

    def call_value(self, callee: Any, operands: list[Any], node: Node) -> Any:
        bound = []
        if isinstance(callee, tuple) and callee and isinstance(callee[0], GraphReference):
            callee, *bound = callee
        if not isinstance(callee, GraphReference) or callee.name not in self.program.functions:
            raise ConversionError(
                f"{node.name} calls a graph that is chosen at run time or missing; only constant conditions can be "
                "converted")
        return self.call(self.program.functions[callee.name], [*bound, *operands])


def _get_item(node: Node, operands: list[Any]) -> Any:
    items, index = operands
    if not isinstance(items, tuple) or not isinstance(index, int) or not -len(items) <= index < len(items):
        raise ConversionError(f"{node.name} takes item {index} of {type(items).__name__}, which is no such tuple")
    if items[index] is None and node.type is not None:
        raise ConversionError(f"{node.name} takes output {index} of a primitive whose ONNX form does not have it")
    return items[index]


def _switch(node: Node, operands: list[Any]) -> Any:
    condition, if_true, if_false = operands
    if isinstance(condition, Value):
        raise ConversionError(
            f"{node.name} chooses by a tensor that is computed at run time; only constant conditions can be "
            "converted")
    return if_true if bool(condition) else if_false


STRUCTURE = {
    "MakeTuple": lambda node, operands: tuple(operands),
    "make_list": lambda node, operands: tuple(operands),
    "MakeList": lambda node, operands: tuple(operands),
    "TupleGetItem": _get_item,
    "list_getitem": _get_item,
    "Partial": lambda node, operands: tuple(operands),
    "Switch": _switch,
}
"""Primitives that only arrange values: they leave no ONNX operator."""


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
