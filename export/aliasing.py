"""Primitives that overwrite an operand: they become plain arithmetic only if nobody else reads what they overwrite.

In graph mode `y = x; y += 1` changes x as well. ONNX has no such thing, so an overwritten value, and every view of it,
may be read only by what the overwriting node itself depends on.
"""

from msnoah.errors import ConversionError
from msnoah.export.graph import Graph, Node, Program

OVERWRITES = "Inplace"
"""Beginning of the names of primitives that write their result into their first operand."""

VIEWS = {
    "Reshape", "View", "Transpose", "TransposeView", "TransposeExtView", "ExpandDims", "ExpandDimsView", "Squeeze",
    "SliceExt", "SliceExtView", "SelectExtView", "Unstack", "UnstackExtView", "Split", "SplitTensor",
    "SplitTensorView", "SplitWithSize", "SplitWithSizeView", "Chunk", "ChunkView", "Narrow", "NarrowView",
    "BroadcastTo", "BroadcastToView", "Flatten", "FlattenExt", "TupleGetItem", "MakeTuple", "make_list", "Identity",
    "Contiguous", "ViewAs", "TExt", "DiagonalView", "ExpandAs", "AsStrided", "Meshgrid", "StopGradient",
}
"""Primitives whose result may share memory with their operands. StridedSlice, which x[...] becomes, copies."""

TUPLES = {"MakeTuple", "make_list"}
"""Primitives that share memory with all of their operands; the others do with the first."""


def check_overwrites(program: Program) -> None:
    """Refuses a program in which an overwritten value is read again.

    Raises:
        ConversionError: names the overwriting node and the reader.
    """
    for graph in (program.main, *program.functions.values()):
        for node in graph.nodes:
            if node.primitive.startswith(OVERWRITES):
                _check_overwrite(graph, node, program)


def _check_overwrite(graph: Graph, writer: Node, program: Program) -> None:
    shared = _aliases(graph, writer)
    before = _ancestors(graph, writer) | _copies_before(graph, writer)
    constants = sorted(shared & program.known.keys())
    if constants:
        name = program.parameters.get(constants[0], "a constant")
        raise ConversionError(
            f"{writer.name} overwrites {name}, which every run reads; assign the result instead of updating in "
            "place")
    for reader in graph.nodes:
        if reader is not writer and reader.output not in before and shared & {*reader.operands}:
            raise ConversionError(f"{writer.name} overwrites a value that {reader.name} reads as well; "
                                  "write y = y + x in construct, not y += x")
    if shared & {*graph.outputs}:
        raise ConversionError(
            f"{writer.name} overwrites a value that is an output as well; write y = y + x in construct, not y += "
            "x")


def _aliases(graph: Graph, writer: Node) -> set[str]:
    """Names that share memory with what the writer overwrites: the value it reads, its sources, and their views."""
    shared = {writer.operands[0]}
    for node in reversed(graph.nodes):
        if node.output in shared and _shares(node):
            shared.update(node.operands if node.primitive in TUPLES else node.operands[:1])
    for node in graph.nodes:
        if node is not writer and _shares(node) and shared & {*node.operands[:1]}:
            shared.add(node.output)
    return shared - _descendants(graph, writer)


def _shares(node: Node) -> bool:
    return node.primitive in VIEWS or node.primitive.startswith(OVERWRITES)


def _copies_before(graph: Graph, writer: Node) -> set[str]:
    # A TensorMove copies a value in the state that its monad names. One of the states after the writer would place it
    # after the writer.
    return {node.output for node in graph.nodes[:graph.nodes.index(writer)] if node.primitive == "TensorMove"}


def _ancestors(graph: Graph, start: Node) -> set[str]:
    found = {start.output}
    for node in reversed(graph.nodes):
        if node.output in found:
            found.update(node.operands)
    return found


def _descendants(graph: Graph, start: Node) -> set[str]:
    found = {start.output}
    for node in graph.nodes:
        if found & {*node.operands}:
            found.add(node.output)
    return found
