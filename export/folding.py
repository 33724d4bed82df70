"""ONNX operators on known tensors, computed at conversion."""

from typing import Any

import numpy as np
from onnx import helper


def fold(operator: str, inputs, outputs: int, attributes: dict[str, Any], opset: int) -> tuple[np.ndarray, ...]:
    """Computes one ONNX operator on numpy arrays; None stands for an optional input left out.

    What is frequent on weights is numpy's, where a transposed or reshaped weight is a view of the weight; the rest is
    ONNX's reference implementation.
    """
    types = {tensor.dtype for tensor in inputs if tensor is not None}
    alike = len(types) == 1 and types.pop().kind == "f"
    compute = REARRANGING.get(operator) or (ARITHMETIC.get(operator) if alike else None)
    if compute is None:
        return _evaluate(operator, inputs, outputs, attributes, opset)
    with np.errstate(all="ignore"):
        return (np.asarray(compute(*inputs, **attributes)),)


def _reshape(x: np.ndarray, shape: np.ndarray, allowzero: int = 0) -> np.ndarray:
    sizes = [x.shape[axis] if size == 0 and not allowzero else int(size) for axis, size in enumerate(shape)]
    return x.reshape(sizes)


REARRANGING = {
    "Identity": lambda x: x,
    "Reshape": _reshape,
    "Transpose": lambda x, perm=None: x.transpose(perm),
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(axes.tolist())),
}
"""Operators that keep every element as it is."""

ARITHMETIC = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "MatMul": np.matmul, "Sqrt": np.sqrt,
}
"""Operators that numpy computes as ONNX does, on floats of one type."""


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
