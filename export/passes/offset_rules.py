"""How a constant that was left out of an operator's input comes out of it: f(x + c) = f(x) + c'."""

from dataclasses import dataclass

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.reduced_axes import read_axes


@dataclass(frozen=True)
class Offset:
    """What is missing from a value.

    Attributes:
        array: of the value's rank, with size 1 along each axis where it stays the same. None: unknown, but the same for
            all elements along the last axis.
        sources: outputs of the nearest additions that were left out.
    """

    array: np.ndarray | None
    sources: frozenset[str]


def compress(array: np.ndarray) -> np.ndarray:
    """Size 1 along each axis where all elements are the same."""
    for axis, size in enumerate(array.shape):
        first = array.take([0], axis) if size else array
        array = first if size > 1 and np.array_equal(np.broadcast_to(first, array.shape), array) else array
    return array


def add(graph: OnnxGraph, operator: Operator, offsets: list[Offset | None]) -> list[Offset] | None:
    """(x + c) + (y + d) = (x + y) + (c + d)"""
    present = [offset for offset in offsets if offset]
    shape = graph.shape(operator.outputs[0])
    ranks = {len(graph.shape(name)) for name, offset in zip(operator.inputs, offsets, strict=True) if offset}
    sources = frozenset().union(*(offset.sources for offset in present))
    arrays = [offset.array for offset in present]
    if any(array is None for array in arrays):
        return [Offset(None, sources)] if len(arrays) == 1 and graph.shape(_owner(operator, offsets)) == shape else None
    return [Offset(sum(arrays), sources)] if ranks == {len(shape)} else None


def matmul(graph: OnnxGraph, operator: Operator, offsets: list[Offset | None]) -> list[Offset] | None:
    """With a constant matrix, (x + c) W = x W + c W. In attention see `defer_offsets`."""
    (x, y), (left, right) = operator.inputs, offsets
    if left and left.array is not None and y in graph.constants and graph.constants[y].ndim == 2:
        row = np.broadcast_to(left.array, (*left.array.shape[:-1], graph.shape(x)[-1]))
        return [Offset(row @ graph.constants[y].astype(np.float64), left.sources)]
    if left or right is None or right.array is None or right.array.ndim != len(graph.shape(x)):
        return None
    if x not in graph.constants and graph.shape(y)[-1] > 1 and right.array.shape[-1] == 1:
        return [Offset(None, right.sources)]
    return [right] if right.array.shape[-2] == 1 and _rows_sum_to_one(graph, x) else None


def softmax(graph: OnnxGraph, operator: Operator, offsets: list[Offset | None]) -> list[Offset | None] | None:
    """softmax(x + c) = softmax(x), if c is the same for all elements that are compared."""
    array = offsets[0].array
    if operator.attributes.get("axis", -1) not in (-1, len(graph.shape(operator.inputs[0])) - 1):
        return None
    return [None] if array is None or array.shape[-1] == 1 else None


def transpose(graph: OnnxGraph, operator: Operator, offsets: list[Offset | None]) -> list[Offset] | None:
    """Axes of size 1 move with the others."""
    return _map(offsets[0], lambda array: [array.transpose(operator.attributes["perm"])])


def reshape(graph: OnnxGraph, operator: Operator, offsets: list[Offset | None]) -> list[Offset] | None:
    """Reshaped as the value is. The first axis, which holds the batch, must not come to matter."""
    if offsets[0] is None:
        return None
    before, after = graph.shape(operator.inputs[0]), graph.shape(operator.outputs[0])
    if offsets[0].array is None:
        return [offsets[0]] if before[-1:] == after[-1:] else None
    array = compress(np.broadcast_to(offsets[0].array, before).reshape(after))
    return [Offset(array, offsets[0].sources)] if len(after) > 1 and array.shape[0] == 1 else None


def gather(graph: OnnxGraph, operator: Operator, offsets: list[Offset | None]) -> list[Offset] | None:
    """The same elements are taken, if it is known which."""
    indices, axis = graph.constants.get(operator.inputs[1]), operator.attributes.get("axis", 0)
    if indices is None:
        return None
    return _map(offsets[0], lambda array: [
        compress(np.take(array, indices if array.shape[axis] > 1 else np.zeros_like(indices), axis))])


def reduce_mean(graph: OnnxGraph, operator: Operator, offsets: list[Offset | None]) -> list[Offset] | None:
    """The mean of the constants, which is the constant along axes where it does not change."""
    axes = read_axes(graph, operator)
    if axes is None:
        return None
    axes, keepdims = tuple(axes), bool(operator.attributes.get("keepdims", 1))
    return _map(offsets[0], lambda array: [array.mean(axes, keepdims=keepdims)])


RULES = {
    "Add": add, "MatMul": matmul, "Softmax": softmax, "Transpose": transpose, "Reshape": reshape, "Unsqueeze": reshape,
    "Squeeze": reshape, "Gather": gather, "ReduceMean": reduce_mean,
}
"""By operator; a rule returns one offset an output, or None if the constant cannot pass."""


def _map(offset: Offset | None, change) -> list[Offset] | None:
    if offset is None or offset.array is None:
        return None
    return [Offset(array, offset.sources) for array in change(offset.array)]


def _owner(operator: Operator, offsets: list[Offset | None]) -> str:
    return next(name for name, offset in zip(operator.inputs, offsets, strict=True) if offset)


def _rows_sum_to_one(graph: OnnxGraph, name: str) -> bool:
    producer, width = graph.producer(name), graph.shape(name)[-1:]
    while producer is not None and producer.op_type == "Reshape" and graph.shape(producer.inputs[0])[-1:] == width:
        producer = graph.producer(producer.inputs[0])
    if producer is None or producer.op_type != "Softmax":
        return False
    return producer.attributes.get("axis", -1) in (-1, len(graph.shape(producer.outputs[0])) - 1)
