"""Padding ahead of what can pad by itself."""

import numpy as np

from msnoah.export.onnx_graph import OnnxGraph, Operator

NOT_NEGATIVE = {"Relu", "Sigmoid", "Softmax", "HardSigmoid", "Abs", "Exp", "Softplus"}


def merge_pads(graph: OnnxGraph) -> bool:
    """Takes a Pad of height and width into the convolution or pooling behind it, where that pads with the same number.

    AveragePool then counts the padding, as it did. MaxPool ignores padding, which changes nothing where the Pad wrote
    the lowest number, or zeros around numbers of which none is negative.
    """
    return any([_merge(graph, operator) for operator in graph.operators.copy()
                if operator.op_type in ("Conv", "AveragePool", "MaxPool")])


def _merge(graph: OnnxGraph, operator: Operator) -> bool:
    pad = graph.producer(operator.inputs[0])
    pads = _read_pads(graph, pad) if pad is not None and pad.op_type == "Pad" else None
    if pads is None or operator.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", b"NOTSET"):
        return False
    own = np.array(operator.attributes.get("pads", np.zeros_like(pads)))
    attributes = {**operator.attributes, "pads": [int(number) for number in own + pads]}
    if operator.op_type != "Conv" and not _can_pool(graph, operator, pad, pads, own):
        return False
    if operator.op_type == "AveragePool":
        attributes["count_include_pad"] = 1
    if operator.op_type == "Conv" and _value(graph, pad) != 0:
        return False
    graph.rewrite(operator, operator.op_type, [pad.inputs[0], *operator.inputs[1:]], attributes)
    return True


def _read_pads(graph: OnnxGraph, pad: Operator) -> np.ndarray | None:
    """(befores, afters) of the spatial axes, if the others are not padded and nothing is cut off."""
    if pad.attributes.get("mode", "constant") not in ("constant", b"constant") or _value(graph, pad) is None:
        return None
    rank, given = len(graph.shape(pad.inputs[0])), graph.constants.get(pad.inputs[1])
    axes = graph.constants.get(pad.inputs[3]) if len(pad.inputs) > 3 and pad.inputs[3] else np.arange(rank)
    if given is None or axes is None:
        return None
    pads = np.zeros((2, rank), np.int64)
    pads[:, axes] = given.reshape(2, -1)
    return None if pads[:, :2].any() or (pads < 0).any() else pads[:, 2:].reshape(-1)


def _value(graph: OnnxGraph, pad: Operator) -> float | None:
    if len(pad.inputs) < 3 or not pad.inputs[2]:
        return 0.0
    constant = graph.constants.get(pad.inputs[2])
    return None if constant is None else float(constant.reshape(-1)[0])


def _can_pool(graph: OnnxGraph, operator: Operator, pad: Operator, pads: np.ndarray, own: np.ndarray) -> bool:
    """Whether pooling gives the same. A window must hold more than padding."""
    kernel = np.tile(operator.attributes["kernel_shape"], 2)
    if operator.attributes.get("ceil_mode") or np.any(own + pads >= kernel) or len(operator.outputs) > 1:
        return False
    if operator.op_type == "AveragePool":
        return _value(graph, pad) == 0 and (not own.any() or bool(operator.attributes.get("count_include_pad")))
    source = graph.producer(pad.inputs[0])
    lowest = np.finfo(graph.types[pad.inputs[0]].dtype).min if graph.types[pad.inputs[0]].dtype.kind == "f" else None
    if lowest is not None and _value(graph, pad) <= lowest:
        return True
    return _value(graph, pad) == 0 and source is not None and source.op_type in NOT_NEGATIVE
