"""Primitives that only arrange values (tuples, lists, closures): they leave no ONNX operator."""

from typing import Any

from msnoah.errors import ConversionError
from msnoah.export.graph import Node, Value


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
