"""Which values the nodes of an ONNX file read and write, read without the onnx package and without the weights."""

import mmap
from pathlib import Path
from typing import NamedTuple

from msnoah.export.wire_format import Field, read_fields

_GRAPH, _NODE = 7, 1  # field numbers of ModelProto.graph and GraphProto.node
_INPUT, _OUTPUT, _NAME, _KIND = 1, 2, 3, 4  # of NodeProto


class WiredNode(NamedTuple):
    """A node of the main graph: its kind and name, and names of values ("" of an input that is left out)."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_wiring(path: Path) -> list[WiredNode]:
    """The nodes of a file's main graph in its order.

    Raises:
        ValueError: the bytes are no ONNX model.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        with memoryview(contents) as data:
            return [
                _read_node(data, node)
                for graph in _fields(data, 0, len(data), _GRAPH)
                for node in _fields(data, graph.contents, graph.end, _NODE)
            ]


def _fields(data: memoryview, start: int, end: int, number: int) -> list[Field]:
    return [field for field in read_fields(data, start, end) if field.number == number]


def _read_node(data: memoryview, node: Field) -> WiredNode:
    texts: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _NAME: [], _KIND: []}
    for field in read_fields(data, node.contents, node.end):
        if field.number in texts:
            texts[field.number].append(bytes(data[field.contents:field.end]).decode("utf-8", "replace"))
    return WiredNode(
        "".join(texts[_KIND][-1:]), "".join(texts[_NAME][-1:]), tuple(texts[_INPUT]), tuple(texts[_OUTPUT]))
