"""Tail calls between sub-graphs as a flow graph: who jumps where, what is a loop, where branches meet again.

MindIR writes an `if` as a choice between two sub-graphs, and a loop as sub-graphs that call each other. A call that is
the last thing a sub-graph does never returns to it, so it is a jump.
"""

from collections.abc import Iterator
from functools import cached_property

from msnoah.errors import ConversionError
from msnoah.export.graph import Graph
from msnoah.export.reader import ascii_name

ENTRY = ""
"""The block that stands before everything: the call from outside."""


class Flow:
    """The sub-graphs (blocks) that can be reached by jumps from some entries.

    Attributes:
        order: every block before those that it jumps to, but for the jumps back of loops; ENTRY first.
        blocks: the same as a set.
    """

    def __init__(self, entries: tuple[str, ...], functions: dict[str, Graph]):
        self._functions = functions
        self._targets: dict[str, list[str]] = {ENTRY: list(dict.fromkeys(entries))}
        self.order = self._sort()
        self.blocks = frozenset(self.order)
        self._rank = {name: rank for rank, name in enumerate(self.order)}
        self._sources: dict[str, list[str]] = {name: [] for name in self.order}
        for name in self.order:
            for target in self._targets[name]:
                self._sources[target].append(name)

    @cached_property
    def loops(self) -> dict[str, frozenset[str]]:
        """The blocks of each loop, itself included, by its head: the only block through which it is entered.

        Raises:
            ConversionError: sub-graphs that call each other without such a head.
        """
        loops: dict[str, set[str]] = {}
        for source in self.order:
            for head in self._targets[source]:
                if self._rank[head] <= self._rank[source]:
                    if not self._dominates(head, source):
                        raise ConversionError(
                            f"sub-graphs '{ascii_name(source)}' and '{ascii_name(head)}' call each other, and it is no "
                            "loop with one entry; write it as a while or for loop")
                    loops.setdefault(head, {head}).update(self._back_to(head, source))
        return {head: frozenset(blocks) for head, blocks in loops.items()}

    def merges(self, name: str) -> list[str]:
        """The blocks where the branches that part in this one meet again, within the same loop; in order."""
        loop = self._innermost(name, including=True)
        return [block for block in self._children[name] if self._is_merge(block) and block in loop]

    def after(self, head: str) -> list[str]:
        """The blocks outside a loop that only the loop leads to, within the loop around it; in order."""
        inside, around = self.loops[head], self._innermost(head, including=False)
        return [block for block in self.order if block not in inside and block in around
                and self._parents.get(block) in inside]

    def exits(self, head: str) -> set[str]:
        """The blocks of a loop from which it is left."""
        inside = self.loops[head]
        return {name for name in inside if not self._targets[name] or any(t not in inside for t in self._targets[name])}

    def _sort(self) -> list[str]:
        """Reverse postorder, without recursion: chains of calls may be long."""
        done, finished = {ENTRY}, []
        stack: list[tuple[str, Iterator[str]]] = [(ENTRY, iter(self._targets[ENTRY]))]
        while stack:
            name, targets = stack[-1]
            target = next((target for target in targets if target not in done), None)
            if target is None:
                finished.append(name)
                stack.pop()
                continue
            done.add(target)
            self._targets[target] = find_jumps(self._functions[target], self._functions)
            stack.append((target, iter(self._targets[target])))
        return finished[::-1]

    @cached_property
    def _parents(self) -> dict[str, str]:
        """Immediate dominators: the last block that every way to a block leads through (Cooper, Harvey, Kennedy)."""
        parents, changed = {ENTRY: ENTRY}, True
        while changed:
            changed = False
            for name in self.order[1:]:
                known = [source for source in self._sources[name] if source in parents]
                parent = known[0]
                for source in known[1:]:
                    parent = self._meet(parents, parent, source)
                changed = changed or parents.get(name) != parent
                parents[name] = parent
        return parents

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {name: [] for name in self.order}
        for name in self.order[1:]:
            children[self._parents[name]].append(name)
        return children

    def _meet(self, parents: dict[str, str], first: str, second: str) -> str:
        while first != second:
            if self._rank[first] > self._rank[second]:
                first = parents[first]
            else:
                second = parents[second]
        return first

    def _dominates(self, name: str, other: str) -> bool:
        while self._rank[other] > self._rank[name]:
            other = self._parents[other]
        return other == name

    def _is_merge(self, name: str) -> bool:
        return sum(self._rank[source] < self._rank[name] for source in self._sources[name]) > 1

    def _back_to(self, head: str, name: str) -> set[str]:
        """The blocks on the ways from the head to a block that jumps back to it."""
        found, waiting = {head}, [name]
        while waiting:
            block = waiting.pop()
            if block not in found:
                found.add(block)
                waiting += self._sources[block]
        return found

    def _innermost(self, name: str, *, including: bool) -> frozenset[str]:
        """The smallest loop around a block (that begins in it, if including); all blocks where there is none."""
        around = [blocks for head, blocks in self.loops.items() if name in blocks and (including or head != name)]
        return min(around, key=len, default=self.blocks)


def find_jumps(graph: Graph, functions: dict[str, Graph]) -> list[str]:
    """The sub-graphs that a sub-graph may call as the last thing it does, as far as the file says."""
    producers = {node.output: node for node in graph.nodes}
    last = producers.get(graph.outputs[0]) if len(graph.outputs) == 1 else None
    if last is None or not last.callee:
        return []
    found, waiting, seen = [], [last.callee], set()
    while waiting:
        name = waiting.pop()
        node = producers.get(name)
        if name in seen:
            continue
        seen.add(name)
        if name in functions:
            found.append(name)
        elif node is not None:
            waiting += CHOICES.get(node.primitive, lambda node: [])(node)
    return found[::-1]


CHOICES = {
    "Partial": lambda node: node.operands[:1],
    "Switch": lambda node: node.operands[1:],
    "switch_layer": lambda node: node.operands[1:],
    "MakeTuple": lambda node: node.operands,
}
"""The operands of a primitive among which a callee may be."""
