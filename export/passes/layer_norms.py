"""LayerNormalization from its parts."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant
from msnoah.export.passes.reduced_axes import read_axes

FIRST_OPSET = 17


def merge_layer_norms(graph: OnnxGraph) -> bool:
    """Writes (x - mean x) / sqrt(mean (x - mean x)^2 + epsilon), over the last axes, as LayerNormalization.

    Factors and addends behind it then go into it (`fold_channel_affines`).
    """
    if graph.opset < FIRST_OPSET:
        return False
    return any([_merge(graph, operator) for operator in graph.operators.copy() if operator.op_type in ("Div", "Mul")])


def _merge(graph: OnnxGraph, last: Operator) -> bool:
    found = _read_parts(graph, last)
    if found is None:
        return False
    x, axes, epsilon = found
    shape, type_ = graph.shape(x), graph.types[x]
    if axes != list(range(axes[0], len(shape))) or type_.dtype != np.float32:
        return False
    scale = graph.add_constant(f"{last.name}.scale", np.ones(shape[axes[0]:], np.float32))
    graph.rewrite(last, "LayerNormalization", [x, scale], {"axis": axes[0] - len(shape), "epsilon": epsilon})
    return True


def _read_parts(graph: OnnxGraph, last: Operator) -> tuple[str, list[int], float] | None:
    """x, the axes and epsilon, of centred / deviation or centred * (1 / deviation)."""
    for centred, factor in (last.inputs, last.inputs[::-1]) if last.op_type == "Mul" else (last.inputs,):
        root = graph.producer(factor)
        if last.op_type == "Mul":
            root = graph.producer(root.inputs[0]) if root is not None and root.op_type == "Reciprocal" else None
        variance = _read_variance(graph, root)
        centre = _read_centred(graph, centred)
        if variance is None or centre is None or variance[:2] != centre:
            continue
        return *centre, variance[2]
    return None


def _read_variance(graph: OnnxGraph, root: Operator | None) -> tuple[str, list[int], float] | None:
    """x, the axes and epsilon of sqrt(mean (x - mean x)^2 + epsilon)."""
    addition = _producer(graph, root, "Sqrt", "Add")
    operands = split_constant(graph, addition) if addition else None
    mean = graph.producer(operands[0]) if operands else None
    if mean is None or mean.op_type != "ReduceMean" or graph.constants[operands[1]].size != 1:
        return None
    square = graph.producer(mean.inputs[0])
    if square is None or not _is_square(graph, square) or not mean.attributes.get("keepdims", 1):
        return None
    centre = _read_centred(graph, square.inputs[0])
    if centre is None or read_axes(graph, mean) != centre[1]:
        return None
    return *centre, float(graph.constants[operands[1]].reshape(-1)[0])


def _producer(graph: OnnxGraph, operator: Operator | None, op_type: str, inner: str) -> Operator | None:
    """What an operator of a kind reads, if it is of another kind."""
    source = graph.producer(operator.inputs[0]) if operator is not None and operator.op_type == op_type else None
    return source if source is not None and source.op_type == inner else None


def _is_square(graph: OnnxGraph, operator: Operator) -> bool:
    if operator.op_type == "Mul":
        return operator.inputs[0] == operator.inputs[1]
    exponent = graph.constants.get(operator.inputs[1]) if operator.op_type == "Pow" else None
    return exponent is not None and exponent.size == 1 and bool(np.all(exponent == 2))


def _read_centred(graph: OnnxGraph, name: str) -> tuple[str, list[int]] | None:
    """x and the axes of x - mean x."""
    operator = graph.producer(name)
    mean = graph.producer(operator.inputs[1]) if operator is not None and operator.op_type == "Sub" else None
    if mean is None or mean.op_type != "ReduceMean" or mean.inputs[0] != operator.inputs[0]:
        return None
    axes = read_axes(graph, mean)
    return (operator.inputs[0], axes) if axes and mean.attributes.get("keepdims", 1) else None
