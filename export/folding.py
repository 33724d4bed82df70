"""ONNX operators on known tensors, computed at conversion."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from onnx import helper

from msnoah.errors import ConversionError
from msnoah.export.mapped_file import drop_pages


def fold(operator: str, inputs, outputs: int, attributes: dict[str, Any], opset: int) -> tuple[np.ndarray, ...]:
    """Computes one ONNX operator on numpy arrays; None stands for an optional input left out.

    What is frequent on weights is numpy's, where a transposed or reshaped weight is a view of the weight; the rest is
    ONNX's reference implementation.
    """
    if operator in GROWING:
        check_size(GROWING[operator](*inputs))
    compute = _find_numpy_form(operator, inputs)
    if compute is None:
        return _evaluate(operator, inputs, outputs, attributes, opset)
    with np.errstate(all="ignore"):
        result = np.asarray(compute(*inputs, **attributes))
    for tensor in () if operator in REARRANGING else inputs:
        drop_pages(tensor)
    return (result,)


def check_size(shape: Iterable[int]) -> None:
    """ConversionError if a constant of this shape would not fit in memory: a file of a few bytes may ask for one."""
    size = math.prod(int(length) for length in shape)
    if size > MAX_ELEMENTS:
        raise ConversionError(f"a constant of {size} elements is asked for; at most {MAX_ELEMENTS} can be converted")


def _find_numpy_form(operator: str, inputs) -> Callable[..., np.ndarray] | None:
    types = {tensor.dtype for tensor in inputs if tensor is not None}
    if operator in FLOAT_REDUCTIONS:
        return FLOAT_REDUCTIONS[operator] if inputs[0].dtype.kind == "f" else None
    if operator in FLOAT_ARITHMETIC:
        return FLOAT_ARITHMETIC[operator] if len(types) == 1 and types.pop().kind == "f" else None
    return REARRANGING.get(operator)


def _reshape(x: np.ndarray, shape: np.ndarray, allowzero: int = 0) -> np.ndarray:
    sizes = [x.shape[axis] if size == 0 and not allowzero else int(size) for axis, size in enumerate(shape)]
    return x.reshape(sizes)


def _as_axes(axes) -> tuple[int, ...] | None:
    return tuple(int(axis) for axis in axes) or None if axes is not None else None


def _power(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x ** y.item() if y.size == 1 and y.ndim <= x.ndim else x ** y  # numpy squares faster than it takes powers


REARRANGING = {
    "Identity": lambda x: x,
    "Reshape": _reshape,
    "Transpose": lambda x, perm=None: x.transpose(perm),
    "Unsqueeze": lambda x, axes: np.expand_dims(x, _as_axes(axes)),
}
"""Operators that keep every element as it is."""

FLOAT_ARITHMETIC = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "MatMul": np.matmul, "Sqrt": np.sqrt,
    "Pow": _power,
}
"""Operators that numpy computes as ONNX does, on floats of one type."""

FLOAT_REDUCTIONS = {
    "ReduceSum": lambda x, axes=None, keepdims=1: x.sum(_as_axes(axes), keepdims=bool(keepdims)),
    "ReduceMean": lambda x, axes=None, keepdims=1: x.mean(_as_axes(axes), keepdims=bool(keepdims)),
}


GROWING = {
    "ConstantOfShape": lambda shape: shape,
    "Expand": lambda x, shape: shape,
    "Range": lambda start, limit, delta: [max(0, (limit - start) / delta)],
    "Tile": lambda x, repeats: [x.size, *repeats],
}
"""The size of a result that may be much larger than what it is made of."""

MAX_ELEMENTS = 2**30


def _evaluate(operator: str, inputs, outputs: int, attributes: dict[str, Any], opset: int) -> tuple[np.ndarray, ...]:
    from onnx.reference import ReferenceEvaluator  # Late: its import costs more than reading a small model.

    names = ["" if tensor is None else f"x{index}" for index, tensor in enumerate(inputs)]
    known = {name: tensor for name, tensor in zip(names, inputs, strict=True) if name}
    node = helper.make_node(operator, names, [f"y{index}" for index in range(outputs)], **attributes)
    graph = helper.make_graph(
        [node], "fold",
        [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(tensor.dtype), tensor.shape)
         for name, tensor in known.items()],
        [helper.make_empty_tensor_value_info(name) for name in node.output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return tuple(np.asarray(result) for result in ReferenceEvaluator(model).run(None, known))
