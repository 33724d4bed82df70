"""The list of primitives that can be converted: what each becomes, and what the tests compare it with."""

import csv
from collections import Counter
from dataclasses import dataclass
from importlib import resources

from msnoah.export.ops import HANDLERS

TABLE = "primitives.csv"
"""Beside this file; the tests keep it equal to what the handlers do (`tests/export/write_catalog.py` writes it)."""


@dataclass(frozen=True)
class PrimitiveInfo:
    """One MindIR primitive.

    Attributes:
        name: its MindIR name.
        operators: the ONNX operators that the tests saw it become, sorted; none where it is computed at conversion
            or leaves no operator.
        compared_with: "mindspore" (the tests compare with MindSpore's own kernel), "numpy" (the CPU has no kernel
            that can be compared with), or "" for a handler that no test here covers: one that a user has added.
    """

    name: str
    operators: tuple[str, ...]
    compared_with: str


def list_primitives() -> list[PrimitiveInfo]:
    """Every primitive that has a handler, by name."""
    table = _read_table()
    return [table.get(name, PrimitiveInfo(name, (), "")) for name in sorted(HANDLERS)]


def describe_primitives(primitives: list[PrimitiveInfo]) -> str:
    """A line for each primitive, then how many there are."""
    against = {"mindspore": "tested against MindSpore", "numpy": "tested against numpy", "": "not tested"}
    width = max((len(primitive.name) for primitive in primitives), default=0)
    operators = {primitive: " ".join(primitive.operators) or "-" for primitive in primitives}
    wide = min(max(map(len, operators.values()), default=0), 40)
    lines = [f"{p.name:{width}}  {operators[p]:{wide}}  {against[p.compared_with]}" for p in primitives]
    counts = Counter(against[primitive.compared_with] for primitive in primitives)
    total = ", ".join(f"{count} {text}" for text, count in counts.items())
    return "\n".join([*lines, f"{len(primitives)} primitives: {total}"])


def _read_table() -> dict[str, PrimitiveInfo]:
    text = resources.files("msnoah.export").joinpath(TABLE).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    infos = [PrimitiveInfo(row["primitive"], tuple(row["operators"].split()), row["compared_with"]) for row in rows]
    return {info.name: info for info in infos}
