"""Operators whose attributes depend on the size of their input, in words that hold at every size."""

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import helper

Shape = tuple[int, ...] | None
PADDED = ("Conv", "MaxPool", "AveragePool")


def free_of_size(nodes: Sequence[onnx.NodeProto], shapes: Sequence[Shape]) -> onnx.NodeProto | None:
    """One operator that does at every size what each of these does at its own; None if there is no such.

    Args:
        nodes: the same operator at several sizes, with other attributes.
        shapes: the shape of the first input of each, None where it is not known.
    """
    for rule in (_pool_globally, _pad_as_same):
        forms = [rule(node, shape) for node, shape in zip(nodes, shapes, strict=True)]
        if all(form is not None and form.SerializeToString() == forms[0].SerializeToString() for form in forms):
            return forms[0]
    return None


def _pool_globally(node: onnx.NodeProto, shape: Shape) -> onnx.NodeProto | None:
    """A pooling over all of its input."""
    attributes = _read(node)
    if node.op_type not in ("AveragePool", "MaxPool") or len(node.output) != 1 or shape is None:
        return None
    covers = tuple(attributes["kernel_shape"]) == shape[2:] and not any(attributes.get("pads", ()))
    return onnx.NodeProto(op_type=f"Global{node.op_type}") if covers and "auto_pad" not in attributes else None


def _pad_as_same(node: onnx.NodeProto, shape: Shape) -> onnx.NodeProto | None:
    """Padding by MindSpore's pad_mode="same", which ONNX calls SAME_UPPER: as many outputs as strides begun."""
    attributes = _read(node)
    if node.op_type not in PADDED or shape is None or "auto_pad" in attributes or "kernel_shape" not in attributes:
        return None
    kernel, rank = attributes["kernel_shape"], len(shape) - 2
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    totals = [
        max((-(-size // step) - 1) * step + (width - 1) * dilation + 1 - size, 0)
        for size, step, width, dilation in zip(shape[2:], strides, kernel, dilations, strict=True)
    ]
    if list(attributes.pop("pads", [0] * 2 * rank)) != [t // 2 for t in totals] + [t - t // 2 for t in totals]:
        return None
    return helper.make_node(node.op_type, [], [], auto_pad="SAME_UPPER", **dict(sorted(attributes.items())))


def _read(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
