"""Primitives that overwrite an operand, in a program whose other values never change.

In graph mode `y = x; y += 1` changes x as well. MindIR says when a value is read (Load) and when it is overwritten, in
the order of its nodes. ONNX has no such thing: an overwritten value becomes a new one, and whatever may share its
memory must not be read any more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.graph import Closure, Node, Program, Value

ASSIGNS = "Assign"
"""The primitive that overwrites its first operand as a whole, whatever it was."""

OVERWRITERS = ("Assign", "Inplace")
"""Beginnings of the names of primitives that write their result into their first operand."""

_OPERATIONS = ("Update", "Add", "Sub", "Mul", "Div", "Max", "Min")
SCATTERING = {f"Scatter{kind}{operation}" for kind in ("", "Nd") for operation in _OPERATIONS}
"""Primitives that write into their first operand, a Parameter."""

VIEWS = {
    "Load", "Reshape", "View", "Transpose", "TransposeView", "TransposeExtView", "ExpandDims", "ExpandDimsView",
    "Squeeze", "SliceExt", "SliceExtView", "SelectExtView", "Unstack", "UnstackExtView", "Split", "SplitTensor",
    "SplitTensorView", "SplitWithSize", "SplitWithSizeView", "Chunk", "ChunkView", "Narrow", "NarrowView",
    "BroadcastTo", "BroadcastToView", "Flatten", "FlattenExt", "Identity", "Contiguous", "ViewAs", "TExt",
    "DiagonalView", "ExpandAs", "AsStrided", "Meshgrid", "StopGradient",
}
"""Primitives whose result may share memory with their operands. StridedSlice, which x[...] becomes, copies."""

BY_REFERENCE = {
    "MakeTuple", "make_list", "MakeList", "TupleGetItem", "list_getitem", "ListAppend", "tuple_setitem", "list_setitem",
    "Partial",
}
"""Primitives that do not look into their operands."""


CHOOSING = {"Switch", "switch_layer"}
"""Primitives that look only into the first."""


def overwrites(primitive: str) -> bool:
    """Whether a primitive writes its result into its first operand."""
    return primitive.startswith(OVERWRITERS) or primitive in SCATTERING


Overwritten = dict[int, tuple[Any, str]]
"""Values that must not be read any more, by id, each with what has overwritten it."""


class Memory:
    """Which values share memory, and what has been overwritten; for a program without such primitives, nothing.

    A value is an object here, and a copy of it another object.
    """

    def __init__(self, program: Program):
        nodes = [node for graph in (program.main, *program.functions.values()) for node in graph.nodes]
        outputs = [name for graph in (program.main, *program.functions.values()) for name in graph.outputs]
        self.active = any(overwrites(node.primitive) for node in nodes)
        self._used = {name for node in nodes for name in node.operands}.union(outputs) if self.active else set()
        arrays = [(name, value) for name, value in program.known.items() if isinstance(value, np.ndarray)]
        self._known = {id(array): program.parameters.get(name) for name, array in arrays}
        self._contents: dict[int, tuple[Any, Any]] = {}
        self._stale: Overwritten = {}
        self._sharing: dict[int, dict[int, Any]] = {}
        self._born: dict[int, tuple[Any, int]] = {}
        self._read: set[int] = set()
        self._clock, self._regions = 0, [0]

    def read(self, tree: Any, reader: str, overwritten: Overwritten | None = None) -> Any:
        """What the values in a tuple, or a single one, hold now, or when only these had been overwritten.

        Raises:
            ConversionError: one of them has been overwritten under another name.
        """
        if not self.active:
            return tree
        if isinstance(tree, tuple):
            return tuple(self.read(item, reader, overwritten) for item in tree)
        stale = self._stale if overwritten is None else overwritten
        if id(tree) in stale:
            raise ConversionError(
                f"{stale[id(tree)][1]} overwrites a value that {reader} reads as well; write y = y + x in "
                "construct, not y += x")
        if id(tree) in self._contents:
            return self._contents[id(tree)][1]
        self._read.add(id(tree))
        return tree

    def read_operands(self, node: Node, operands: list[Any]) -> list[Any]:
        """What a primitive gets to see of its operands."""
        if not self.active or node.primitive in BY_REFERENCE:
            return operands
        if node.primitive == ASSIGNS:
            return [operands[0], *(self.read(operand, node.name) for operand in operands[1:])]
        count = 1 if node.primitive in CHOOSING else len(operands)
        return [self.read(operand, node.name) for operand in operands[:count]] + operands[count:]

    def record(self, node: Node, operands: list[Any], result: Any) -> Any:
        """Takes note of a result; returns it, as an object of its own unless it is passed on by reference.

        Raises:
            ConversionError: the primitive overwrites what ONNX cannot.
        """
        if not self.active or node.primitive in BY_REFERENCE or node.primitive in CHOOSING:
            return result
        self._clock += 1
        if overwrites(node.primitive):
            return self._overwrite(node, operands[0], result)
        result = self._as_new(result)
        if node.primitive in VIEWS:
            for operand in _tensors(operands):
                self.link(result, operand)
        return result

    def link(self, *values: Any) -> None:
        """Notes that values may share memory."""
        if self.active:
            tensors = {id(tensor): tensor for value in values for tensor in _tensors(value)}
            for tensor in list(tensors.values()):
                self._born.setdefault(id(tensor), (tensor, self._clock))
                tensors.update(self._sharing.get(id(tensor), {}))
            self._sharing.update(dict.fromkeys(tensors, tensors))

    def share(self, first: Any, second: Any) -> bool:
        """Whether two values may share memory."""
        return self.active and (first is second or id(second) in self._sharing.get(id(first), {}))

    @contextmanager
    def region(self) -> Iterator[None]:
        """Within it, what was there before belongs to the outside: a branch or loop may run or not."""
        self._regions.append(self._clock + 1)
        try:
            yield
        finally:
            self._regions.pop()

    def save(self) -> Overwritten:
        """What has been overwritten so far."""
        return self._stale.copy()

    def restore(self, saved: Overwritten) -> Overwritten:
        """Goes back to what had been overwritten before a branch; returns what the branch has added."""
        added, self._stale = self._stale, saved.copy()
        return added

    def add(self, overwritten: Overwritten) -> None:
        """Adds what another branch has overwritten."""
        self._stale.update(overwritten)

    def overwritten_since(self, clock: int) -> frozenset[int]:
        """The values from before a time that have been overwritten."""
        return frozenset(key for key in self._stale if self._born.get(key, (None, 0))[1] <= clock)

    @property
    def clock(self) -> int:
        """The time: a count of primitives."""
        return self._clock

    def _overwrite(self, node: Node, target: Any, result: Any) -> Any:
        if id(target) in self._known:
            return self._assign(node, target, result)
        for key, value in self._sharing.get(id(target), {}).items():
            self._stale[key] = value, node.name
        if node.output in self._used:
            self._stale[id(target)] = target, node.name
            return self._as_new(result)
        self._stale.pop(id(target), None)
        if self._born.get(id(target), (None, 0))[1] < self._regions[-1]:
            raise ConversionError(
                f"{node.name} overwrites, inside a condition or loop, a value from outside; assign the result instead: "
                "y = y + x")
        self._contents[id(target)] = target, result
        return target

    def _assign(self, node: Node, target: np.ndarray, result: Any) -> Any:
        name = self._known[id(target)]
        if name is None:
            raise ConversionError(
                f"{node.name} overwrites a constant, which every run reads; assign the result instead of updating in "
                "place")
        if node.primitive != ASSIGNS or id(target) in self._read or len(self._regions) > 1:
            raise ConversionError(
                f"{node.name} overwrites parameter '{name}', which keeps its value from call to call; an ONNX graph "
                "has no state: return the value as an output and take it as an input, and call set_train(False)")
        self._contents[id(target)] = target, result
        return result

    def _as_new(self, result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(map(self._as_new, result))
        if isinstance(result, Value):
            result = replace(result)
            self._born[id(result)] = result, self._clock
        return result


def _tensors(tree: Any) -> Iterator[Any]:
    if isinstance(tree, tuple | list):
        for item in tree:
            yield from _tensors(item)
    elif isinstance(tree, Closure):
        yield from _tensors(tree.bound)
    elif isinstance(tree, Value | np.ndarray):
        yield tree
