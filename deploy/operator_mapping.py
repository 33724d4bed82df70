"""Sets a runtime's rows of nodes beside the graph of the artifact: module, multiply-accumulates and traffic of each.

A runtime fuses nodes and says which ones at best in part, so what it leaves unsaid is found in the graph: what leads to
a node that a row stands for and is in no other row was computed with it, and so was what follows (an activation).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from msnoah.deploy.npu.facts import GraphFacts, OperatorFacts, TensorFacts, module_name
from msnoah.deploy.operator_modules import locate_modules
from msnoah.deploy.roofline import VIEWS
from msnoah.deploy.runtimes.base import OperatorTime

MOVES = (*VIEWS, "Transpose", "Cast", "DequantizeLinear", "Pad")
"""What a product takes in as it reads its inputs."""


def map_to_graph(rows: Sequence[OperatorTime], facts: GraphFacts) -> list[OperatorTime]:
    """The rows with `module`, `macs` and `bytes` from the graph, where they have something to do with it.

    Rows that are sums stay as they are. A row that computes nothing of the graph, as a change of layout, has the module
    that it serves and no products; its traffic is not known.
    """
    graph = _Graph(facts)
    shares = _share_out(rows, graph)
    return [_describe(row, sorted(share), graph) for row, share in zip(rows, shares)]


class _Graph:
    """The operators of an artifact by number, and what connects them."""

    def __init__(self, facts: GraphFacts):
        self.operators = facts.operators
        self.modules = locate_modules(facts.operators)
        self.places = {module.rsplit(".", cut)[0] for module in self.modules for cut in range(module.count(".") + 1)}
        self.places.discard("")
        self.writers = {tensor.name: n for n, operator in enumerate(facts.operators) for tensor in operator.outputs}
        self.names = {operator.name: n for n, operator in enumerate(facts.operators)}
        self.readers: dict[str, list[int]] = {}
        for number, operator in enumerate(facts.operators):
            for tensor in operator.inputs:
                self.readers.setdefault(tensor.name, []).append(number)

    def find(self, source: str) -> int | None:
        """The operator of a name, or that writes the value of that name."""
        return self.names.get(source, self.writers.get(source))

    def find_beside(self, source: str) -> int | None:
        """The same, or of an input of the graph its first reader."""
        found = self.find(source)
        return next(iter(self.readers.get(source, [])), None) if found is None else found

    def sources(self, number: int) -> list[int]:
        """The operators whose outputs one reads."""
        values = [tensor.name for tensor in self.operators[number].inputs]
        return [self.writers[value] for value in values if value in self.writers]

    def users(self, number: int) -> list[int]:
        """The operators that read one's outputs."""
        return [reader for tensor in self.operators[number].outputs for reader in self.readers.get(tensor.name, [])]


def _share_out(rows: Sequence[OperatorTime], graph: _Graph) -> list[set[int]]:
    """The operators that each row computes; none is in two."""
    owners: dict[int, int] = {}
    for auxiliary in (False, True):
        for number, row in enumerate(rows):
            named = [graph.find(source) for source in row.sources if row.auxiliary == auxiliary]
            for operator in named:
                if operator is not None:
                    owners.setdefault(operator, number)
    for operator, owner in list(owners.items()):
        if not rows[owner].auxiliary:
            _take_leading(operator, owner, owners, graph)
    for operator in range(len(graph.operators)):  # what is left follows a row's operators, or leads to nothing measured
        before = [owners[source] for source in graph.sources(operator) if source in owners]
        real = [owner for owner in before if not rows[owner].auxiliary]
        if operator not in owners and (real or before):
            owners[operator] = max(real or before)
    shares: list[set[int]] = [set() for _ in rows]
    for operator, owner in owners.items():
        shares[owner].add(operator)
    return shares


def _take_leading(operator: int, owner: int, owners: dict[int, int], graph: _Graph) -> None:
    """Gives a row what leads to its operator alone and is in no other row; above products only what moves numbers."""
    waiting = [operator]
    while waiting:
        current = waiting.pop()
        free = [source for source in graph.sources(current) if source not in owners
                and all(owners.get(reader) == owner for reader in graph.users(source))]
        if graph.operators[current].macs:
            free = [source for source in free if graph.operators[source].op_type in MOVES]
        owners.update(dict.fromkeys(free, owner))
        waiting += free


def _describe(row: OperatorTime, share: list[int], graph: _Graph) -> OperatorTime:
    beside = [found for found in map(graph.find_beside, row.sources) if found is not None]
    if not share:
        known = graph.modules[beside[0]] if beside else _named_module(row, graph.places)
        return replace(row, module=known, macs=0 if known is not None else None)
    operators = [graph.operators[number] for number in share]
    heavy = max(share, key=lambda number: (graph.operators[number].macs or 0, number in beside))
    macs = [operator.macs for operator in operators]
    return replace(
        row, module=graph.modules[heavy], bytes=count_traffic(operators, graph.readers),
        macs=None if None in macs else sum(macs), sources=tuple(operator.name for operator in operators))


def _named_module(row: OperatorTime, places: set[str]) -> str | None:
    """What the names of a node that the graph does not have say themselves, as of sizes that were folded away."""
    return next((module for module in map(module_name, (*row.sources, row.node)) if module in places), None)


def count_traffic(operators: Sequence[OperatorFacts], readers: dict[str, list[int]] | None = None) -> int | None:
    """Bytes that operators which run as one read and write, each value once, in the types that the graph has.

    What stays among them is not counted, nor is what is a mere view. `readers` is how often each value is read in the
    whole graph; without it outputs are taken as read by others. None where a size is open.
    """
    sizes = [_size_bytes(tensor) for tensor in _list_crossing(operators, readers or {})]
    if all(operator.op_type in VIEWS for operator in operators):
        return 0
    return None if None in sizes else sum(sizes)


def _list_crossing(operators: Sequence[OperatorFacts], readers: dict[str, list[int]]) -> Iterator[TensorFacts]:
    """What goes in and what comes out, each value once."""
    written = {tensor.name for operator in operators for tensor in operator.outputs}
    read_inside = [tensor.name for operator in operators for tensor in operator.inputs]
    yield from {tensor.name: tensor for operator in operators for tensor in operator.inputs
                if tensor.name not in written}.values()
    for operator in operators:
        for tensor in operator.outputs:
            uses = len(readers.get(tensor.name, []))
            if not uses or uses > read_inside.count(tensor.name):
                yield tensor


def _size_bytes(tensor: TensorFacts) -> int | None:
    import numpy as np

    if tensor.shape is None or tensor.dtype is None:
        return None
    return math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize
