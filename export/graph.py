"""A MindIR graph after reading: plain dataflow, without monads, loads and unstable names."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TensorType:
    """Element type and static shape of a tensor."""

    dtype: np.dtype
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


Type = TensorType | tuple | None
"""A tensor, a nested tuple of types, or None where MindIR says nothing that can be checked (scalars, closures)."""


@dataclass(frozen=True)
class Value:
    """A tensor that is known only at run time: its name in the ONNX graph, element type and static shape."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class GraphReference:
    """A sub-graph used as a value (a closure), by name."""

    name: str


@dataclass(frozen=True)
class Closure:
    """A sub-graph with the values of its first inputs."""

    graph: str
    bound: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Choice:
    """One of two sub-graphs or closures, by a condition that is known only at run time: a bool tensor of shape ()."""

    condition: Value
    if_true: Any
    if_false: Any


@dataclass(frozen=True)
class Unreadable:
    """A constant of a kind that has no Python form; an error only where it is used."""

    kind: int


@dataclass
class Node:
    """One use of a primitive, or one call of a sub-graph.

    Attributes:
        primitive: name of the MindIR primitive (`Conv2D`); empty for a call.
        callee: name of the sub-graph, or of the value that holds a closure; empty for a primitive.
        scope: readable path of the Cell, `blocks.0.attn.qkv`; empty at the top.
        operands: names of the values it reads, in MindIR order.
        output: name of the value it defines.
        attributes: attributes of a classic primitive, by MindIR name.
        type: what MindIR declares for the output.
    """

    primitive: str
    callee: str
    scope: str
    operands: list[str]
    output: str
    attributes: dict[str, Any]
    type: Type

    @property
    def name(self) -> str:
        """Scope and primitive, `blocks.0.attn.qkv.MatMul`: what error messages call the node."""
        return ".".join(part for part in (self.scope, self.primitive or "call") if part)

    def reads(self) -> list[str]:
        """Names of the values it reads: its operands, and the callee of a call."""
        return [*self.operands, self.callee] if self.callee else self.operands


@dataclass
class Graph:
    """A function of named values; `inputs` and `outputs` are the names that the nodes use."""

    name: str
    inputs: list[str]
    outputs: list[str]
    nodes: list[Node]


@dataclass
class Program:
    """A whole MindIR file.

    Attributes:
        main: the graph that runs.
        functions: sub-graphs by name.
        input_types: element type and shape of each input of `main`.
        known: every constant and parameter by MindIR name, as int, float, bool, str, tuple, None or numpy array.
        parameters: checkpoint name of the parameters among them, by MindIR name.
    """

    main: Graph
    functions: dict[str, Graph]
    input_types: list[TensorType]
    known: dict[str, Any]
    parameters: dict[str, str] = field(default_factory=dict)
