"""Primitives that only arrange values (tuples, lists, closures): they leave no ONNX operator, but for conditions."""

from typing import Any

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.builder import Builder
from msnoah.export.graph import Choice, Closure, GraphReference, Node, Value
from msnoah.export.joining import is_callable


def _get_item(builder: Builder, node: Node, operands: list[Any]) -> Any:
    items, index = operands
    if isinstance(items, tuple) and isinstance(index, Value):
        raise ConversionError(
            f"{node.name} takes an item of a tuple by a number that is computed at run time; stack the items to a "
            "tensor and index that")
    if not isinstance(items, tuple) or not isinstance(index, int) or not -len(items) <= index < len(items):
        raise ConversionError(f"{node.name} takes item {index} of {type(items).__name__}, which is no such tuple")
    if items[index] is None and node.type is not None:
        raise ConversionError(f"{node.name} takes output {index} of a primitive whose ONNX form does not have it")
    return items[index]


def _partial(builder: Builder, node: Node, operands: list[Any]) -> Any:
    return _bind(node, operands[0], tuple(operands[1:]))


def _bind(node: Node, function: Any, bound: tuple[Any, ...]) -> Any:
    if isinstance(function, GraphReference):
        return Closure(function.name, bound)
    if isinstance(function, Closure):
        return Closure(function.graph, (*function.bound, *bound))
    if isinstance(function, Choice):
        sides = [_bind(node, side, bound) for side in (function.if_true, function.if_false)]
        return Choice(function.condition, *sides)
    raise ConversionError(f"{node.name} binds values to {type(function).__name__}, which is no sub-graph")


def _switch(builder: Builder, node: Node, operands: list[Any]) -> Any:
    condition, if_true, if_false = operands
    if not isinstance(condition, Value):
        return if_true if bool(condition) else if_false
    builder.enter(node)
    condition = _as_condition(builder, node, condition)
    if is_callable(if_true) and is_callable(if_false):
        return Choice(condition, if_true, if_false)
    if isinstance(if_true, Value | np.ndarray) and isinstance(if_false, Value | np.ndarray):
        return builder.op("Where", condition, if_true, if_false)
    raise ConversionError(
        f"{node.name} chooses at run time between {type(if_true).__name__} and {type(if_false).__name__}; both must be "
        "tensors, or both functions")


def _switch_layer(builder: Builder, node: Node, operands: list[Any]) -> Any:
    index, functions = operands
    if not isinstance(functions, tuple) or not functions or not all(map(is_callable, functions)):
        raise ConversionError(f"{node.name} chooses among values that are no sub-graphs")
    if not isinstance(index, Value):
        if not -len(functions) <= int(index) < len(functions):
            raise ConversionError(f"{node.name} chooses number {int(index)} of {len(functions)} functions")
        return functions[int(index)]
    builder.enter(node)
    # Gather counts negative numbers from the end, and refuses those outside, as MindSpore does.
    numbers = np.arange(len(functions), dtype=index.dtype)
    index = builder.op("Gather", numbers, builder.op("Reshape", index, builder.ints()))
    choice = functions[-1]
    for number in reversed(range(len(functions) - 1)):
        choice = Choice(builder.op("Equal", index, np.array(number, index.dtype)), functions[number], choice)
    return choice


def _as_condition(builder: Builder, node: Node, tensor: Value) -> Value:
    """A tensor with one element as ONNX's If takes it."""
    if int(np.prod(tensor.shape)) != 1:
        raise ConversionError(
            f"{node.name} decides by a tensor of shape {list(tensor.shape)}; it must have one element")
    if tensor.dtype != np.bool_:
        tensor = builder.op("Cast", tensor, to=builder.element_type(np.bool_))
    return builder.op("Reshape", tensor, builder.ints()) if tensor.shape else tensor


def _append(builder: Builder, node: Node, operands: list[Any]) -> Any:
    return (*operands[0], operands[1])


def _set_item(builder: Builder, node: Node, operands: list[Any]) -> Any:
    items, index, item = operands
    if isinstance(index, Value):
        raise ConversionError(
            f"{node.name} sets an item of a list whose number is computed at run time; stack the items to a tensor")
    if not isinstance(items, tuple) or not -len(items) <= index < len(items):
        raise ConversionError(f"{node.name} sets item {index} of {type(items).__name__}, which is no such list")
    index %= len(items)
    return (*items[:index], item, *items[index + 1:])


def _raise(builder: Builder, node: Node, operands: list[Any]) -> Any:
    error = ": ".join(str(operand) for operand in operands[:2] if isinstance(operand, str))
    raise ConversionError(
        f"{node.name} stops by a condition that is known only at run time ({error}), which no ONNX graph can; check "
        "the input before the model and take the check out of construct")


STRUCTURE = {
    "MakeTuple": lambda builder, node, operands: tuple(operands),
    "make_list": lambda builder, node, operands: tuple(operands),
    "MakeList": lambda builder, node, operands: tuple(operands),
    "TupleGetItem": _get_item,
    "list_getitem": _get_item,
    "ListAppend": _append,
    "tuple_setitem": _set_item,
    "list_setitem": _set_item,
    "Load": lambda builder, node, operands: operands[0],
    **dict.fromkeys(("Assign", "AssignAdd", "AssignSub"), lambda builder, node, operands: operands[1]),
    "Partial": _partial,
    "raise": _raise,
    "Switch": _switch,
    "switch_layer": _switch_layer,
}
"""What each does with its operands."""
