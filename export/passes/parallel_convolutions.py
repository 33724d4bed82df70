"""Convolutions of one input whose results are added."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.channel_affines import read_affine
from msnoah.export.passes.linear_layers import read_layer


def merge_parallel_convolutions(graph: OnnxGraph) -> bool:
    """Adds convolutions of one input up at export: Conv(x, U) + Conv(x, V) = Conv(x, U + V), the smaller kernel padded
    with zeros, and Conv(x, U) + a x + c = Conv(x, U + a I) + c."""
    return any([_merge(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Add"])


def _merge(graph: OnnxGraph, addition: Operator) -> bool:
    terms = [graph.producer(name) for name in addition.inputs]
    if any(graph.only_user(name) is not addition for name in addition.inputs) or None in terms:
        return False
    if graph.shape(addition.inputs[0]) != graph.shape(addition.inputs[1]):
        return False
    large, small = sorted(terms, key=lambda term: -_kernel_size(graph, term))
    if large.op_type != "Conv" or read_layer(graph, large) is None or large is small:
        return False
    found = _read_convolution(graph, small, large) or _read_affine(graph, small, large)
    if found is None:
        return False
    _write(graph, large, *found)
    graph.bypass(addition, large.outputs[0])
    graph.remove(small)
    return True


def _kernel_size(graph: OnnxGraph, operator: Operator) -> int:
    return int(np.prod(graph.shape(operator.inputs[1])[2:])) if operator.op_type == "Conv" else 0


def _read_convolution(graph: OnnxGraph, small: Operator, large: Operator) -> tuple[np.ndarray, np.ndarray] | None:
    """Weight in the larger kernel's shape, and bias, of a convolution that visits the same places."""
    layer = read_layer(graph, small)
    if layer is None or small.op_type != "Conv" or small.inputs[0] != large.inputs[0]:
        return None
    weight = graph.constants[small.inputs[1]].astype(np.float64)
    shape = graph.shape(large.inputs[1])
    rank = len(shape) - 2
    if weight.shape[:2] != shape[:2] or any(_value(small, key, 1, rank) != _value(large, key, 1, rank)
                                            for key in ("group", "strides")):
        return None
    dilations = _value(large, "dilations", 1, rank)
    if weight[0, 0].size > 1 and _value(small, "dilations", 1, rank) != dilations:
        return None
    offsets = _find_offsets(small, large, weight.shape[2:], shape[2:])
    if offsets is None:
        return None
    padded = np.zeros(shape)
    padded[(..., *(slice(o, o + size) for o, size in zip(offsets, weight.shape[2:], strict=True)))] = weight
    return padded, np.zeros(shape[0]) if layer.bias is None else layer.bias


def _find_offsets(small: Operator, large: Operator, sizes, large_sizes) -> list[int] | None:
    """How many taps behind the first of the large kernel the first of the small one lies, by axis."""
    rank = len(sizes)
    pads, small_pads = (_value(operator, "pads", 0, 2 * rank) for operator in (large, small))
    steps = [divmod(pads[axis] - small_pads[axis], dilation)
             for axis, dilation in enumerate(_value(large, "dilations", 1, rank))]
    fits = all(rest == 0 and 0 <= offset <= whole - size
               for (offset, rest), size, whole in zip(steps, sizes, large_sizes, strict=True))
    return [offset for offset, _ in steps] if fits else None


def _read_affine(graph: OnnxGraph, small: Operator, large: Operator) -> tuple[np.ndarray, np.ndarray] | None:
    """a x + c as a convolution with one tap, where the large one reads x at the place that it writes."""
    affine, shape = read_affine(graph, small, 1), graph.shape(large.inputs[1])
    rank = len(shape) - 2
    if affine is None or affine.x != large.inputs[0] or set(_value(large, "strides", 1, rank)) != {1}:
        return None
    pads, dilations = _value(large, "pads", 0, 2 * rank), _value(large, "dilations", 1, rank)
    taps = [divmod(pads[axis], dilations[axis]) for axis in range(rank)]
    if any(rest or tap >= size for (tap, rest), size in zip(taps, shape[2:], strict=True)):
        return None
    weight, channels = np.zeros(shape), np.arange(shape[0])
    weight[(channels, channels % shape[1], *(tap for tap, _ in taps))] = affine.scale
    return weight, affine.shift


def _write(graph: OnnxGraph, large: Operator, weight: np.ndarray, bias: np.ndarray) -> None:
    layer = read_layer(graph, large)
    layer.weight = graph.constants[large.inputs[1]].astype(np.float64) + weight
    if bias.any() or layer.bias is not None:
        layer.bias = bias + (0 if layer.bias is None else layer.bias)
    layer.write()


def _value(operator: Operator, attribute: str, default: int, count: int) -> list[int]:
    value = operator.attributes.get(attribute)
    if attribute == "group":
        return [value or 1]
    return list(value) if value is not None else [default] * count
