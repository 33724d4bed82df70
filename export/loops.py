"""ONNX's Loop: what changes from round to round is carried, everything else is read from outside."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.aliasing import Memory
from msnoah.export.builder import Builder
from msnoah.export.graph import TensorType, Value
from msnoah.export.joining import (
    Exit,
    Outcome,
    Slot,
    add_outputs,
    as_tensor,
    fill,
    fill_absent,
    leaves,
    rebuild,
    same,
    same_form,
)
from msnoah.export.onnx_graph import OnnxGraph

State = tuple[Any, ...]
Step = Callable[[State], tuple[Any, State, Outcome]]
"""One round: from a state to (whether another round follows, the next state, the jumps out of the loop)."""

Build = Callable[[Callable[[], Any]], tuple[OnnxGraph, Any]]
"""Runs something in a body of its own; returns the body and the result."""

ROUND_TYPE, CONDITION_TYPE = TensorType(np.dtype(np.int64), ()), TensorType(np.dtype(np.bool_), ())


class LoopBuilder:
    """Builds a Loop operator.

    Leaves of the state that begin equal and stay equal are one variable of the loop; a variable that stays as it is, is
    none. Both are assumed first, and given up where a round shows otherwise, until a round agrees.
    """

    def __init__(self, builder: Builder, memory: Memory, build_body: Build, initial: State, step: Step):
        """Takes the state before the loop, and one round, which is called several times."""
        self.builder, self.memory, self.build_body, self.step = builder, memory, build_body, step
        self.initial, self.overwritten = initial, memory.save()
        self.starts = list(leaves(initial))
        self.where = f"{builder.scope or 'the graph'}: a loop"
        self.groups = _group([(start,) for start in self.starts])
        self.carried: list[int] = []
        self.shared: set[tuple[int, int]] = set()

    def build(self, condition: Any) -> tuple[State, Outcome]:
        """Adds the operator, given whether there is a first round.

        Returns:
            The state after the last round, and the jumps with which that round left the loop.

        Raises:
            ConversionError: a value changes its type, shape or structure from round to round, or the loop has no end.
        """
        body, again, ends, exits = self._find_carried()
        if again is True:
            raise ConversionError(f"{self.where} has no end")
        starts = [self._start(index) for index in self.carried]
        results = [ends[index] for index in self.carried]
        drafts = self._draft_exits(body, exits, starts, results)
        add_outputs(self.builder, body, (again, *results))
        outputs = self.builder.add_bodies("Loop", [None, condition, *starts], body=body)
        slots = {index: Slot(place) for place, index in enumerate(self.carried)}
        for output, start in zip(outputs, starts, strict=False):
            self.memory.link(output, start)
        final = [slots.get(group, start) for group, start in zip(self.groups, self.starts, strict=True)]
        jumps = {target: Exit(*fill(draft, outputs)) for target, draft in drafts.items()}
        return fill(rebuild(self.initial, iter(final)), outputs), jumps

    def _find_carried(self) -> tuple[OnnxGraph, Any, list[Any], Outcome]:
        names, clock = self.builder.graph.save_names(), self.memory.clock
        while True:
            overwritten = self.memory.overwritten_since(clock)
            body, ((again, state, exits), current) = self.build_body(self._run_round)
            if not same_form(state, self.initial):
                raise ConversionError(f"{self.where} changes the length of a tuple or list; join tensors instead")
            ends = list(leaves(state))
            groups = _group(list(zip(self.groups, ends, strict=True)))
            changed = [index for index in sorted(set(groups))
                       if self.groups[index] in self.carried or not same(ends[index], current[index])]
            shared = {pair for pair in combinations(changed, 2) if self.memory.share(*(ends[index] for index in pair))}
            settled = self.memory.overwritten_since(clock) == overwritten and shared <= self.shared
            if settled and (groups, changed) == (self.groups, self.carried):
                for index in self.carried:
                    ends[index] = self.memory.read(ends[index], "the next round of a loop")
                self._check_types(current, ends)
                return body, again, ends, exits
            self.groups, self.carried, self.shared = groups, changed, self.shared | shared
            self.builder.graph.restore_names(names)

    def _run_round(self) -> tuple[tuple[Any, State, Outcome], list[Any]]:
        body = self.builder.graph
        body.add_input("round", ROUND_TYPE)
        body.add_input("go_on", CONDITION_TYPE)
        variables = {}
        for index in self.carried:
            tensor = self._start(index)
            variables[index] = body.add_input("variable", TensorType(tensor.dtype, tuple(tensor.shape)))
            self.memory.link(variables[index], self.starts[index])
        for first, second in self.shared:
            self.memory.link(variables[first], variables[second])
        current = [variables.get(group, start) for group, start in zip(self.groups, self.starts, strict=True)]
        return self.step(rebuild(self.initial, iter(current))), current

    def _start(self, index: int) -> Any:
        return as_tensor(self.memory.read(self.starts[index], "a loop", self.overwritten), self.where)

    def _check_types(self, current: list[Any], ends: list[Any]) -> None:
        for index in self.carried:
            end, variable = as_tensor(ends[index], self.where), current[index]
            if (end.dtype, tuple(end.shape)) != (variable.dtype, variable.shape):
                raise ConversionError(
                    f"{self.where} changes a value from {TensorType(variable.dtype, variable.shape)} to "
                    f"{TensorType(end.dtype, tuple(end.shape))}; ONNX needs the same type and shape in every round")

    def _draft_exits(self, body: OnnxGraph, exits: Outcome, starts: list[Any], results: list[Any]) -> dict[str, tuple]:
        """The jumps out with slots for what is computed inside: these too are carried, from zeros that nobody reads."""

        def slot(tensor: Value) -> Slot:
            for place, result in enumerate(results[len(self.carried):], len(self.carried)):
                if same(result, tensor):
                    return Slot(place)
            body.add_input("variable", TensorType(tensor.dtype, tensor.shape))
            starts.append(np.zeros(tensor.shape, tensor.dtype))
            results.append(tensor)
            return Slot(len(results) - 1)

        return {
            target: (True if len(exits) == 1 else fill_absent(exit_.guard, body, slot),
                     fill_absent(exit_.values, body, slot))
            for target, exit_ in exits.items()
        }


def _group(keys: list[tuple[Any, ...]]) -> list[int]:
    """For each key the index of the first that is the same."""
    first: list[int] = []
    for index, key in enumerate(keys):
        equal = (other for other in sorted(set(first)) if all(map(same, keys[other], key)))
        first.append(next(equal, index))
    return first
