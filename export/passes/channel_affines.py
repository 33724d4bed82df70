"""One factor and one number to add for each channel, however they are written."""

from dataclasses import dataclass

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator


@dataclass(frozen=True)
class Affine:
    """scale * x + shift.

    Attributes:
        x: the value that is scaled and shifted.
        scale, shift: float64 (C,), a number for each index along the channel axis.
    """

    x: str
    scale: np.ndarray
    shift: np.ndarray


def read_affine(graph: OnnxGraph, operator: Operator, axis: int) -> Affine | None:
    """What BatchNormalization, or Add, Sub, Mul or Div with a constant, does to the channels along an axis; None for
    anything else, and for constants that change along another axis."""
    if operator.op_type == "BatchNormalization":
        return _read_batch_norm(graph, operator) if axis == 1 and len(operator.outputs) == 1 else None
    if operator.op_type not in ("Add", "Sub", "Mul", "Div"):
        return None
    first, second = operator.inputs
    if second in graph.constants:
        x, constant = first, _along(graph, second, first, axis)
    else:
        x, constant = second, _along(graph, first, second, axis)
    if constant is None or x in graph.constants or graph.types[x] != graph.types[operator.outputs[0]]:
        return None
    one, zero = np.ones_like(constant), np.zeros_like(constant)
    if operator.op_type == "Add":
        return Affine(x, one, constant)
    if operator.op_type == "Mul":
        return Affine(x, constant, zero)
    if operator.op_type == "Sub":
        return Affine(x, one, -constant) if x == first else Affine(x, -one, constant)
    return Affine(x, 1 / constant, zero) if x == first and constant.all() else None


def _read_batch_norm(graph: OnnxGraph, operator: Operator) -> Affine | None:
    if operator.attributes.get("training_mode") or any(name not in graph.constants for name in operator.inputs[1:]):
        return None
    gamma, beta, mean, variance = (graph.constants[name].astype(np.float64) for name in operator.inputs[1:])
    # ONNX's attributes are float32, and so is what a runtime adds.
    scale = gamma / np.sqrt(variance + np.float64(np.float32(operator.attributes.get("epsilon", 1e-5))))
    return Affine(operator.inputs[0], scale, beta - mean * scale)


def _along(graph: OnnxGraph, constant: str, x: str, axis: int) -> np.ndarray | None:
    """A constant as float64 (C,), if it broadcasts against x along one axis alone."""
    array, shape = graph.constants.get(constant), graph.shape(x)
    if array is None or array.dtype.kind != "f" or array.ndim > len(shape):
        return None
    sizes = (1,) * (len(shape) - array.ndim) + array.shape
    axis = axis % len(shape)
    if any(size != 1 for place, size in enumerate(sizes) if place != axis) or sizes[axis] not in (1, shape[axis]):
        return None
    return np.broadcast_to(array.reshape(-1), shape[axis]).astype(np.float64)
