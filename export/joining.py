"""Values that two branches, or two rounds of a loop, give for the same name: what differs becomes an ONNX output."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.aliasing import Memory, Overwritten
from msnoah.export.builder import Builder
from msnoah.export.graph import Choice, Closure, GraphReference, TensorType, Value
from msnoah.export.onnx_graph import OnnxGraph

SCALAR_TYPES = {bool: np.bool_, int: np.int64, float: np.float32}
"""Element type of a Python number that becomes a tensor."""

COMPARED_ELEMENTS = 1024
"""Largest constants that are compared element by element; larger ones are equal only if they are the same."""


class Absent:
    """Stands for the values of a jump that a branch does not make: anything will do."""


ABSENT = Absent()


@dataclass(frozen=True)
class Slot:
    """Stands for an output of an operator that is not built yet, by number."""

    index: int


@dataclass
class Exit:
    """A jump out of a region: whether it is made (True, or a bool tensor), and the arguments that it carries."""

    guard: Any
    values: tuple[Any, ...]


Outcome = dict[str, Exit]
"""What a region of sub-graphs ends in: exactly one of these jumps, by target."""


class Joint:
    """Pairs the values of two branches; what differs, or is computed in one of them, takes a slot.

    Attributes:
        slots: the two tensors of each output that the If needs.
    """

    def __init__(
        self, builder: Builder, memory: Memory, condition: Value, bodies: tuple[OnnxGraph, OnnxGraph],
        overwritten: tuple[Overwritten, Overwritten],
    ):
        """Takes the two bodies, and what had been overwritten at the end of each."""
        self.builder, self.memory, self.condition, self.bodies = builder, memory, condition, bodies
        self.overwritten = overwritten
        self.slots: list[tuple[Any, Any]] = []

    def join(self, first: Outcome, second: Outcome) -> Outcome:
        """One outcome of both; builds the If operator, if anything needs it."""
        targets = {**first, **second}
        drafts = {}
        for target in targets:
            sides = first.get(target), second.get(target)
            guards = [side.guard if side else False for side in sides]
            values = [side.values if side else ABSENT for side in sides]
            drafts[target] = self._pair_guards(*guards) if len(targets) > 1 else True, self._pair(*values)
        outputs = self._build() if self.slots else ()
        for output, pair in zip(outputs, self.slots, strict=True):
            self.memory.link(output, *pair)
        return {target: Exit(*fill(draft, outputs)) for target, draft in drafts.items()}

    def _pair_guards(self, first: Any, second: Any) -> Any:
        if (first, second) == (True, False):
            return self.condition
        if (first, second) == (False, True):
            return self.builder.op("Not", self.condition)
        return self._slot(first, second)

    def _pair(self, first: Any, second: Any) -> Any:
        if isinstance(first, tuple) and isinstance(second, tuple) and len(first) == len(second):
            return tuple(self._pair(*pair) for pair in zip(first, second, strict=True))
        if isinstance(first, Closure) and isinstance(second, Closure) and first.graph == second.graph:
            return Closure(first.graph, self._pair(first.bound, second.bound))
        if first is ABSENT or second is ABSENT:
            return self._pair_absent(first, second)
        local = is_local(first, self.bodies[0]) or is_local(second, self.bodies[1])
        if not local and same(first, second):
            self.memory.link(first, second)
            return first
        if is_callable(first) and is_callable(second):
            return self._choose(first, second)
        return self._slot(first, second)

    def _pair_absent(self, first: Any, second: Any) -> Any:
        if first is ABSENT:
            return fill_absent(second, self.bodies[1], lambda tensor: self._slot(_zeros(tensor), tensor))
        return fill_absent(first, self.bodies[0], lambda tensor: self._slot(tensor, _zeros(tensor)))

    def _choose(self, first: Any, second: Any) -> Choice:
        if any(is_local(leaf, body) for side, body in zip((first, second), self.bodies, strict=True)
               for leaf in captured_values(side)):
            raise ConversionError(
                f"{self.builder.scope or 'the graph'}: two branches of a condition give different functions with "
                "values of their own; call the function inside the branch")
        return Choice(self.condition, first, second)

    def _slot(self, first: Any, second: Any) -> Slot:
        where = f"{self.builder.scope or 'the graph'}: the two branches of a condition give"
        first, second = [
            as_tensor(self.memory.read(leaf, "what follows", overwritten), where)
            for leaf, overwritten in zip((first, second), self.overwritten, strict=True)]
        types = TensorType(first.dtype, tuple(first.shape)), TensorType(second.dtype, tuple(second.shape))
        if types[0] != types[1]:
            raise ConversionError(f"{where} {types[0]} and {types[1]}; ONNX needs the same type and shape from both")
        for index, (known, other) in enumerate(self.slots):
            if same(known, first) and same(other, second):
                return Slot(index)
        self.slots.append((first, second))
        return Slot(len(self.slots) - 1)

    def _build(self) -> tuple[Value, ...]:
        for body, tensors in zip(self.bodies, zip(*self.slots, strict=True), strict=True):
            add_outputs(self.builder, body, tensors)
        then_branch, else_branch = self.bodies
        return self.builder.add_bodies("If", [self.condition], then_branch=then_branch, else_branch=else_branch)


def add_outputs(builder: Builder, body: OnnxGraph, tensors: tuple[Any, ...]) -> None:
    """Makes tensors the outputs of a body, in order."""
    with builder.inside(body):
        for tensor in tensors:
            builder.add_output(body.unique(".".join(part for part in (builder.scope, "result") if part)), tensor)


def fill_absent(tree: Any, body: OnnxGraph, slot: Callable[[Value], Slot]) -> Any:
    """The tree with a slot for each value that is computed within the body; only one way leads to it."""
    if isinstance(tree, tuple):
        return tuple(fill_absent(item, body, slot) for item in tree)
    if isinstance(tree, Closure):
        return Closure(tree.graph, fill_absent(tree.bound, body, slot))
    if isinstance(tree, Choice) and any(is_local(leaf, body) for leaf in captured_values(tree)):
        raise ConversionError("a function that is chosen inside a condition or loop leaves it; call it inside")
    return slot(tree) if is_local(tree, body) else tree


def _zeros(tensor: Value) -> np.ndarray:
    return np.zeros(tensor.shape, tensor.dtype)


def fill(tree: Any, outputs: tuple[Value, ...]) -> Any:
    """The tree with the outputs in the places of their slots."""
    if isinstance(tree, tuple):
        return tuple(fill(item, outputs) for item in tree)
    if isinstance(tree, Closure):
        return Closure(tree.graph, fill(tree.bound, outputs))
    return outputs[tree.index] if isinstance(tree, Slot) else tree


def leaves(tree: Any) -> Iterator[Any]:
    """The tensors, numbers and whatever else is no tuple, in order."""
    if isinstance(tree, tuple):
        for item in tree:
            yield from leaves(item)
    elif isinstance(tree, Closure):
        yield from leaves(tree.bound)
    else:
        yield tree


def rebuild(tree: Any, items: Iterator[Any]) -> Any:
    """A tree of the same form with other leaves."""
    if isinstance(tree, tuple):
        return tuple(rebuild(item, items) for item in tree)
    return Closure(tree.graph, rebuild(tree.bound, items)) if isinstance(tree, Closure) else next(items)


def same_form(first: Any, second: Any) -> bool:
    """Whether two trees differ in nothing but their leaves."""
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(same_form, first, second))
    if isinstance(first, Closure) and isinstance(second, Closure):
        return first.graph == second.graph and same_form(first.bound, second.bound)
    return not isinstance(first, tuple | Closure) and not isinstance(second, tuple | Closure)


def same(first: Any, second: Any) -> bool:
    """Whether two leaves are one value at run time, for certain."""
    if first is second:
        return True
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        equal_types = (first.dtype, first.shape) == (second.dtype, second.shape)
        return equal_types and first.size <= COMPARED_ELEMENTS and first.tobytes() == second.tobytes()
    if type(first) is not type(second) or isinstance(first, np.ndarray):
        return False
    return repr(first) == repr(second) if isinstance(first, float) else bool(first == second)


def is_local(leaf: Any, body: OnnxGraph) -> bool:
    """Whether a value is computed within a body, so that it reaches the outside only as an output."""
    return isinstance(leaf, Value) and leaf.name in body.types and leaf.name not in body.captures


def is_callable(value: Any) -> bool:
    """Whether a value can be called."""
    return isinstance(value, GraphReference | Closure | Choice)


def captured_values(function: Any) -> Iterator[Any]:
    """The values that a function carries with it."""
    if isinstance(function, Choice):
        yield function.condition
        yield from captured_values(function.if_true)
        yield from captured_values(function.if_false)
    elif isinstance(function, Closure):
        yield from leaves(function.bound)


def as_tensor(leaf: Any, where: str) -> Value | np.ndarray:
    """A tensor as it is, a Python number as one of shape (); ConversionError for anything else."""
    if isinstance(leaf, Value | np.ndarray):
        return leaf
    if type(leaf) not in SCALAR_TYPES:
        raise ConversionError(f"{where} {type(leaf).__name__} values that differ; only tensors and numbers can")
    return np.array(leaf, SCALAR_TYPES[type(leaf)])
