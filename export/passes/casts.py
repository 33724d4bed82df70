"""Casts of casts."""

import numpy as np
from onnx import helper

from msnoah.export.onnx_graph import OnnxGraph

PLACES = {"TopK": 1, "ArgMax": 0, "ArgMin": 0}
"""Operators that give places along an axis, by output."""


def merge_casts(graph: OnnxGraph) -> bool:
    """Writes Cast(Cast(x, a), b) as Cast(x, b), where type a holds every number of x's type, or every place along the
    axis if x holds such."""
    changed = False
    for operator in graph.operators:
        inner = graph.producer(operator.inputs[0]) if operator.op_type == "Cast" else None
        if inner is None or inner.op_type != "Cast":
            continue
        source, middle = graph.types[inner.inputs[0]].dtype, graph.types[inner.outputs[0]].dtype
        if not is_lossless(source, middle) and not _holds_places(graph, inner.inputs[0], middle):
            continue
        to = helper.np_dtype_to_tensor_dtype(graph.types[operator.outputs[0]].dtype)
        graph.rewrite(operator, "Cast", [inner.inputs[0]], {"to": int(to)})
        changed = True
    return changed


def is_lossless(source: np.dtype, target: np.dtype) -> bool:
    """Whether every number of a type is also one of another; numpy calls int64 to float64 safe, which it is not."""
    if source.kind in "iu" and target.kind == "f":
        return np.iinfo(source).bits - (source.kind == "i") <= np.finfo(target).nmant + 1
    return np.can_cast(source, target, "safe")


def _holds_places(graph: OnnxGraph, name: str, target: np.dtype) -> bool:
    """Whether a value holds places along an axis, and a type all of those."""
    producer = graph.producer(name)
    if producer is None or producer.op_type not in PLACES or producer.outputs.index(name) != PLACES[producer.op_type]:
        return False
    axis = producer.attributes.get("axis", -1 if producer.op_type == "TopK" else 0)
    last = graph.shape(producer.inputs[0])[axis] - 1
    return target.kind in "iu" and last <= np.iinfo(target).max
