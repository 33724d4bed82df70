"""The table of op handlers. A handler's signature is its contract.

    @handles("ReduceMean")
    def reduce_mean(g, x, axis: Const, keep_dims: Const):
        return ...

Positional parameters are the inputs of the primitive in MindIR order; keyword-only ones are attributes of a classic
primitive, by MindIR name. A parameter annotated `Const` must be known at export and arrives as a Python value. The
others arrive as a `Value` (known only at run time), a numpy array (a parameter or constant), a Python number, or a
tuple of those. The handler builds its result with `g.op(...)` and returns it: one value, or a tuple of them for a
primitive with several outputs (None for one that ONNX has not).
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.graph import Node, Unreadable, Value


class Const:
    """Annotation of a handler's parameter: known at export, given as int, float, bool, str, None, tuple or numpy
    array."""


@dataclass(frozen=True)
class Handler:
    """A function with what its signature says."""

    function: Callable
    inputs: tuple[inspect.Parameter, ...]
    attributes: tuple[inspect.Parameter, ...]

    @classmethod
    def of(cls, function: Callable) -> "Handler":
        """Reads the signature; the first parameter is the builder."""
        parameters = list(inspect.signature(function).parameters.values())[1:]
        positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        return cls(function, tuple(positional), tuple(p for p in parameters if p.kind is p.KEYWORD_ONLY))

    def __call__(self, g, node: Node, operands: Sequence[Any]) -> Any:
        """Binds operands and attributes, and calls the function.

        Raises:
            ConversionError: too many or too few operands, a missing attribute, or a `Const` that is known only at run
                time.
        """
        needed = sum(p.default is p.empty for p in self.inputs)
        if not needed <= len(operands) <= len(self.inputs):
            names = ", ".join(p.name for p in self.inputs)
            raise ConversionError(
                f"{node.name} has {len(operands)} inputs; this release knows {node.primitive} as "
                f"({names})")
        for parameter, operand in zip(self.inputs, operands, strict=False):
            _check_operand(node, parameter, operand)
        for parameter in self.inputs[len(operands):]:
            if parameter.name in node.attributes:
                raise ConversionError(
                    f"{node.name} has '{parameter.name}' as an attribute; this release knows it as an input of "
                    f"{node.primitive}")
        return self.function(g, *operands, **dict(self._bind_attributes(node)))

    def _bind_attributes(self, node: Node):
        for parameter in self.attributes:
            if parameter.name in node.attributes:
                yield parameter.name, node.attributes[parameter.name]
            elif parameter.default is parameter.empty:
                raise ConversionError(f"{node.name} has no attribute '{parameter.name}', which {node.primitive} needs")


HANDLERS: dict[str, Handler] = {}
"""Handler by MindIR primitive."""


def handles(*primitives: str) -> Callable:
    """Registers a handler for one primitive or several spellings of it; a second handler for one is an error."""
    def register(function: Callable) -> Callable:
        for primitive in primitives:
            if primitive in HANDLERS:
                first = HANDLERS[primitive].function
                raise ConversionError(
                    f"{primitive} has a handler already, {first.__module__}.{first.__name__}; remove one of "
                    "them")
            HANDLERS[primitive] = Handler.of(function)
        return function
    return register


def _check_operand(node: Node, parameter: inspect.Parameter, operand: Any) -> None:
    if parameter.annotation is Const and _holds(operand, Value):
        raise ConversionError(
            f"{node.name}: '{parameter.name}' is computed at run time; {node.primitive} can be converted only if it "
            "is constant")
    if _holds(operand, Unreadable):
        raise ConversionError(f"{node.name}: '{parameter.name}' is a constant of a kind that has no ONNX form")


def _holds(operand: Any, kind: type) -> bool:
    if isinstance(operand, tuple):
        return any(_holds(item, kind) for item in operand)
    return isinstance(operand, kind)


def as_tuple(value: Any) -> tuple[int, ...]:
    """An int, a tuple of ints or an integer array as a tuple of ints; None as the empty tuple."""
    if value is None:
        return ()
    if isinstance(value, np.ndarray):
        return tuple(int(item) for item in value.reshape(-1))
    return tuple(value) if isinstance(value, tuple | list) else (int(value),)
