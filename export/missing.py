"""Primitives of a program that nothing converts: all of them at once, with where they stand and what to do."""

import difflib
from dataclasses import dataclass

from msnoah.errors import ConversionError
from msnoah.export.graph import Node, Program
from msnoah.export.ops import HANDLERS
from msnoah.export.structure import STRUCTURE


@dataclass(frozen=True)
class MissingPrimitive:
    """A primitive without handler.

    Attributes:
        name: its MindIR name.
        count: nodes that use it.
        first: scope and name of the first of them; MindIR does not say where in the source it stands.
        nearest: the primitive of the most similar name that is handled; empty where none is similar.
    """

    name: str
    count: int
    first: str
    nearest: str

    def __str__(self) -> str:
        nearest = f"; {self.nearest} is known" if self.nearest else ""
        return f"{self.name} ({self.count}, first {self.first}{nearest})"


def find_missing(program: Program) -> list[MissingPrimitive]:
    """The primitives without handler, the most frequent first."""
    nodes: dict[str, list[Node]] = {}
    for graph in (program.main, *program.functions.values()):
        for node in graph.nodes:
            if node.primitive and node.primitive not in HANDLERS and node.primitive not in STRUCTURE:
                nodes.setdefault(node.primitive, []).append(node)
    return [_describe(name, found) for name, found in sorted(nodes.items(), key=lambda item: -len(item[1]))]


def check_primitives(program: Program) -> None:
    """ConversionError that names every primitive without handler, with counts and the first place of each."""
    missing = find_missing(program)
    if missing:
        plural = "s" * (len(missing) > 1)
        raise ConversionError(
            f"no ONNX form is known for {len(missing)} primitive{plural}: {', '.join(map(str, missing))}; add one with "
            f"@handles(\"{missing[0].name}\") in a file for --handlers (docs/convert.md shows how)")


def _describe(name: str, nodes: list[Node]) -> MissingPrimitive:
    nearest = difflib.get_close_matches(name, HANDLERS, 1, 0.8)
    return MissingPrimitive(name, len(nodes), nodes[0].name, nearest[0] if nearest else "")
