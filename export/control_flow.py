"""Conditions and loops that are decided at run time: regions of sub-graphs become ONNX's If and Loop."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.aliasing import Memory
from msnoah.export.builder import Builder
from msnoah.export.flow import ENTRY, Flow
from msnoah.export.graph import Choice, Closure, Graph, GraphReference, Value
from msnoah.export.joining import Exit, Joint, Outcome
from msnoah.export.loops import LoopBuilder, State
from msnoah.export.reader import ascii_name

RETURN = "return"
"""The target of the jump back to the caller."""

UNROLLED_ROUNDS, UNROLLED_OPERATORS = 32, 1000
"""Rounds of a loop, and operators in them, that are written out if it is known of each round whether another follows;
more become a Loop."""

MAX_NESTING = 30
"""Bodies inside bodies: protobuf reads 100 levels of messages, and each body takes three."""

POSTPONED_FROM = 10
"""Bodies inside bodies from which on, outside loops, what follows is written after the outermost of them instead."""

MAX_DEPTH = 400
"""Sub-graphs inside sub-graphs."""


@dataclass(frozen=True)
class Jump:
    """A call that is the last thing a sub-graph does."""

    callee: Any
    operands: tuple[Any, ...]


@dataclass(frozen=True)
class Scope:
    """Where a jump may lead.

    Attributes:
        flow: the jumps between the sub-graphs.
        labels: blocks that are entered later, where branches have met; until then a jump there is an outcome.
        inside: the loop that is being written; a jump out of it is an outcome too.
        deepest: where so many bodies are inside each other, every jump is an outcome.
    """

    flow: Flow
    labels: frozenset[str]
    inside: frozenset[str]
    deepest: int

    def leaves(self, block: str) -> bool:
        """Whether a jump to a block ends the region."""
        return block in self.labels or (block in self.flow.blocks and block not in self.inside)


class ControlFlow:
    """Runs sub-graphs with conditions that are known only at run time; `run_block` runs one up to its last jump."""

    def __init__(
        self, builder: Builder, memory: Memory, functions: dict[str, Graph], run_block: Callable[[Graph, tuple], Any]
    ):
        self.builder, self.memory, self.functions, self.run_block = builder, memory, functions, run_block
        self.flows: dict[tuple[str, ...], Flow] = {}
        self.running: list[tuple[tuple[str, ...], int]] = []
        self.depth, self.nesting = 0, 0

    def call(self, callee: Any, operands: tuple[Any, ...]) -> Any:
        """The result of a call of a sub-graph, closure or choice.

        Raises:
            ConversionError: sub-graphs that call each other in no form of loop, or a loop or condition that ONNX cannot
                express.
        """
        entries = tuple(dict.fromkeys(_names(callee)))
        missing = [name for name in entries if name not in self.functions]
        if missing:
            raise ConversionError(f"sub-graph '{ascii_name(missing[0])}' is not in the file; it is damaged or cut off")
        if any(running == entries and nesting < self.nesting for running, nesting in self.running):
            raise _recursion(entries[0])
        self.running.append((entries, self.nesting))
        result = self._run(entries, Jump(callee, operands))
        self.running.pop()
        return result

    def _run(self, entries: tuple[str, ...], jump: Jump) -> Any:
        if entries not in self.flows:
            self.flows[entries] = Flow(entries, self.functions)
        flow = self.flows[entries]
        scope = Scope(flow, frozenset(), flow.blocks, self.nesting + POSTPONED_FROM)
        later = flow.merges(ENTRY)
        outcome = self._jump(jump, replace(scope, labels=frozenset(later)))
        outcome = self._follow_all(outcome, later, scope)
        while outcome.keys() != {RETURN}:
            postponed = [name for name in flow.order if name in outcome]
            if not postponed:
                raise ConversionError(f"sub-graph '{ascii_name(entries[0])}' never returns; its loop has no end")
            outcome = self._follow_all(outcome, postponed, scope)
        return outcome[RETURN].values[0]

    def _jump(self, jump: Jump, scope: Scope) -> Outcome:
        callee = jump.callee
        if isinstance(callee, Choice):
            sides = [lambda side=side: self._jump(Jump(side, jump.operands), scope)
                     for side in (callee.if_true, callee.if_false)]
            return self._branch(callee.condition, *sides)
        name, arguments = unpack(jump)
        if scope.leaves(name):
            return {name: Exit(True, arguments)}
        if name not in scope.flow.blocks:
            return {RETURN: Exit(True, (self.call(callee, jump.operands),))}
        if self.nesting >= scope.deepest:
            return {name: Exit(True, arguments)}
        return self._enter(name, arguments, scope)

    def _enter(self, name: str, arguments: tuple[Any, ...], scope: Scope) -> Outcome:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _recursion(name)
        if name in scope.flow.loops:
            outcome = self._loop(name, arguments, scope)
            outcome = self._follow_all(outcome, scope.flow.after(name), scope)
        else:
            outcome = self._block(name, arguments, scope)
        self.depth -= 1
        return outcome

    def _block(self, name: str, arguments: tuple[Any, ...], scope: Scope) -> Outcome:
        later = scope.flow.merges(name)
        result = self.run_block(self.functions[name], arguments)
        if not isinstance(result, Jump):
            return {RETURN: Exit(True, (result,))}
        outcome = self._jump(result, replace(scope, labels=scope.labels.union(later)))
        return self._follow_all(outcome, later, scope)

    def _follow_all(self, outcome: Outcome, later: list[str], scope: Scope) -> Outcome:
        """Enters, in order, the blocks in which branches have met."""
        for index, name in enumerate(later):
            outcome = self._follow(outcome, name, replace(scope, labels=scope.labels.union(later[index + 1:])))
        return outcome

    def _follow(self, outcome: Outcome, name: str, scope: Scope) -> Outcome:
        if name not in outcome:
            return outcome
        rest = {target: other for target, other in outcome.items() if target != name}
        if not rest:
            return self._enter(name, outcome[name].values, scope)
        if len(rest) == 1:
            rest = {target: Exit(True, other.values) for target, other in rest.items()}
        return self._branch(
            outcome[name].guard, lambda: self._enter(name, outcome[name].values, scope), lambda: rest)

    def _branch(self, condition: Value, if_true: Callable[[], Outcome], if_false: Callable[[], Outcome]) -> Outcome:
        before = self.memory.save()
        first, first_outcome = self._build(if_true)
        in_first = self.memory.restore(before)
        second, second_outcome = self._build(if_false)
        overwritten = in_first, self.memory.save()
        self.memory.add(in_first)
        joint = Joint(self.builder, self.memory, condition, (first, second), overwritten)
        return joint.join(first_outcome, second_outcome)

    def _build(self, region: Callable[[], Any]) -> tuple[Any, Any]:
        """Runs a region in a body of its own; returns both."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise ConversionError(
                f"{self.builder.scope or 'the graph'}: more than {MAX_NESTING} conditions and loops inside each other, "
                "which no ONNX file can hold; use fewer, or a while loop over tensors")
        with self.builder.inside(self.builder.graph.start_body()) as body, self.memory.region():
            result = region()
        self.nesting -= 1
        return body, result

    # --- loops

    def _loop(self, head: str, arguments: tuple[Any, ...], scope: Scope) -> Outcome:
        inner = Scope(scope.flow, frozenset({head}), scope.flow.loops[head], MAX_NESTING + 1)
        outcome = self._unroll(head, arguments, inner)
        if outcome is None and scope.flow.exits(head) == {head}:
            with suppress(_OtherForm):
                outcome = self._test_first(head, arguments, inner, scope)
        return self._test_anywhere(head, arguments, inner) if outcome is None else outcome

    def _unroll(self, head: str, arguments: tuple[Any, ...], inner: Scope) -> Outcome | None:
        """The rounds one after the other, if it is known of each whether another one follows."""
        bodies, names, overwritten = [], self.builder.graph.save_names(), self.memory.save()
        for _ in range(UNROLLED_ROUNDS):
            body, outcome = self._build(lambda: self._block(head, arguments, inner))
            bodies.append(body)
            if head not in outcome:
                for body in bodies:
                    self.builder.graph.absorb(body)
                return outcome
            if outcome[head].guard is not True or sum(len(body.operators) for body in bodies) > UNROLLED_OPERATORS:
                break
            arguments = outcome[head].values
        self.builder.graph.restore_names(names)
        self.memory.restore(overwritten)
        return None

    def _test_first(self, head: str, arguments: tuple[Any, ...], inner: Scope, scope: Scope) -> Outcome | None:
        """A loop that is left only where it begins: the condition of the next round is computed at the end of a round.

        What is carried from round to round are the arguments of the two ways on from the condition.
        """
        first = self._test(head, arguments, inner)
        if first is None:
            return None

        def step(state: State) -> tuple[Any, State, Outcome]:
            outcome = self._jump(Jump(GraphReference(first.stay), state[0]), inner)
            test = self._test(head, outcome[head].values, inner) if outcome.keys() == {head} else None
            if test is None:
                raise _OtherForm
            condition, *new = test.parts
            return condition, tuple(new), {}

        condition, *initial = first.parts
        final, _ = LoopBuilder(self.builder, self.memory, self._build, tuple(initial), step).build(condition)
        return self._jump(Jump(GraphReference(first.leave), final[1]), scope)

    def _test(self, head: str, arguments: tuple[Any, ...], inner: Scope) -> "Test | None":
        jump = self.run_block(self.functions[head], arguments)
        if not isinstance(jump, Jump) or not isinstance(jump.callee, Choice):
            return None
        sides = jump.callee.if_true, jump.callee.if_false
        if not all(isinstance(side, GraphReference | Closure) for side in sides):
            return None
        (yes, yes_arguments), (no, no_arguments) = [unpack(Jump(side, jump.operands)) for side in sides]
        condition = jump.callee.condition
        if yes in inner.inside and no not in inner.inside:
            return Test(yes, no, (condition, yes_arguments, no_arguments))
        if no in inner.inside and yes not in inner.inside:
            return Test(no, yes, (self.builder.op("Not", condition), no_arguments, yes_arguments))
        return None

    def _test_anywhere(self, head: str, arguments: tuple[Any, ...], inner: Scope) -> Outcome:
        """A loop with any exits: each round says whether another one follows, and if not, where it leads."""

        def step(state: State) -> tuple[Any, State, Outcome]:
            outcome = self._block(head, state, inner)
            again = outcome.pop(head)
            return again.guard, again.values, outcome

        return LoopBuilder(self.builder, self.memory, self._build, arguments, step).build(np.array(True))[1]


@dataclass(frozen=True)
class Test:
    """The end of a loop's head: the block that goes on, the one that leaves, (condition, arguments of both)."""

    stay: str
    leave: str
    parts: tuple[Any, ...]


class _OtherForm(Exception):
    """A round of a loop does not end in the condition that it should begin with."""


def unpack(jump: Jump) -> tuple[str, tuple[Any, ...]]:
    """Name and arguments of a jump to one sub-graph."""
    if isinstance(jump.callee, Closure):
        return jump.callee.graph, (*jump.callee.bound, *jump.operands)
    if not isinstance(jump.callee, GraphReference):
        raise ConversionError(f"a {type(jump.callee).__name__} is called, which is no sub-graph; the file is damaged")
    return jump.callee.name, jump.operands


def _recursion(name: str) -> ConversionError:
    return ConversionError(
        f"sub-graph '{ascii_name(name)}' calls itself, or more than {MAX_DEPTH} sub-graphs each other, with no end "
        "that is known; write it as a while or for loop")


def _names(callee: Any) -> list[str]:
    if isinstance(callee, Choice):
        return _names(callee.if_true) + _names(callee.if_false)
    return [unpack(Jump(callee, ()))[0]]
