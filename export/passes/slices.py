"""Slices that take one value apart."""

from collections import defaultdict

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator


def merge_slices(graph: OnnxGraph) -> bool:
    """Writes Slices of one value along one axis that follow each other from its begin to its end as one Split."""
    groups: dict[tuple[str, int], dict[int, Operator]] = defaultdict(dict)
    for operator in graph.operators:
        cut = _read_slice(graph, operator) if operator.op_type == "Slice" else None
        if cut is not None:
            axis, start = cut
            groups[operator.inputs[0], axis][start] = operator
    return any([_join(graph, x, axis, slices) for (x, axis), slices in groups.items() if len(slices) > 1])


def _read_slice(graph: OnnxGraph, operator: Operator) -> tuple[int, int] | None:
    """Axis and begin of a Slice along one axis in steps of 1, of which the result is not an output."""
    rank, size = len(graph.shape(operator.inputs[0])), graph.shape(operator.inputs[0])
    numbers = [graph.constants.get(name) for name in operator.inputs[1:]]
    if len(numbers) < 3 or any(array is None or array.size != 1 for array in numbers):
        return None
    start, _, axis, *step = (int(array.reshape(-1)[0]) for array in numbers)
    if step not in ([], [1]) or operator.outputs[0] in graph.outputs:
        return None
    axis %= rank
    return axis, min(max(start + size[axis] * (start < 0), 0), size[axis])


def _join(graph: OnnxGraph, x: str, axis: int, slices: dict[int, Operator]) -> bool:
    starts = sorted(slices)
    sizes = [graph.shape(slices[start].outputs[0])[axis] for start in starts]
    if starts != [0, *np.cumsum(sizes)[:-1]] or sum(sizes) != graph.shape(x)[axis]:
        return False
    if any(operator.inputs[0] != x for operator in slices.values()):  # x itself has just become part of a Split.
        return False
    first = next(operator for operator in graph.operators if operator in slices.values())
    name = graph.unique(f"{first.name}.Split")
    names = [f"{name}.{index}" for index in range(len(sizes))]
    split = graph.add_constant(f"{name}.split", np.array(sizes, np.int64))
    types = [graph.types[slices[start].outputs[0]] for start in starts]
    graph.add_operator(Operator("Split", name, [x, split], names, {"axis": axis}), types, before=first)
    for start, part in zip(starts, names, strict=True):
        graph.bypass(slices[start], part)
    return True
