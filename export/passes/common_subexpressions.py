"""What is computed twice."""

from collections.abc import Hashable
from typing import Any

from msnoah.export.onnx_graph import OnnxGraph, Operator

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


def merge_common_subexpressions(graph: OnnxGraph) -> bool:
    """Computes once what operators of the same kind make of the same inputs with the same attributes."""
    first: dict[Hashable, Operator] = {}
    changed = False
    for operator in graph.operators.copy():
        if operator.op_type in RANDOM or any(name in graph.outputs for name in operator.outputs):
            continue
        attributes = {name: _freeze(value) for name, value in operator.attributes.items()}
        if None in attributes.values():
            continue
        key = operator.op_type, tuple(operator.inputs), len(operator.outputs), tuple(sorted(attributes.items()))
        kept = first.setdefault(key, operator)
        if kept is operator:
            continue
        for old, new in zip(operator.outputs, kept.outputs, strict=True):
            graph.replace(old, new)
        graph.remove(operator)
        changed = True
    return changed


def _freeze(value: Any) -> Hashable:
    """An attribute that can be compared; None for one that cannot: a graph, a tensor."""
    if isinstance(value, list | tuple):
        return tuple(value)
    return (value,) if isinstance(value, int | float | str | bytes) else None
