"""Concatenations of concatenations, and of what was just split."""

from msnoah.export.onnx_graph import OnnxGraph, Operator


def merge_concats(graph: OnnxGraph) -> bool:
    """Joins at once what one Concat joins and only another Concat along the same axis reads."""
    return any([_merge(graph, operator) for operator in graph.operators.copy() if operator.op_type == "Concat"])


def cancel_splits(graph: OnnxGraph) -> bool:
    """Removes a Concat that joins all parts of a Split in order, and a Split that takes a Concat apart where it was
    joined."""
    return any([_cancel_concat(graph, operator) if operator.op_type == "Concat" else _cancel_split(graph, operator)
                for operator in graph.operators.copy() if operator.op_type in ("Concat", "Split")])


def _axis(graph: OnnxGraph, operator: Operator) -> int:
    return operator.attributes.get("axis", 0) % len(graph.shape(operator.inputs[0]))


def _merge(graph: OnnxGraph, concat: Operator) -> bool:
    axis, names = _axis(graph, concat), []
    inner = [graph.producer(name) for name in concat.inputs]
    merged = [operator is not None and operator.op_type == "Concat" and _axis(graph, operator) == axis
              and graph.only_user(name) is not None for name, operator in zip(concat.inputs, inner, strict=True)]
    if not any(merged):
        return False
    for name, operator, is_merged in zip(concat.inputs, inner, merged, strict=True):
        names += operator.inputs if is_merged else [name]
    graph.rewrite(concat, "Concat", names, {"axis": axis})
    return True


def _cancel_concat(graph: OnnxGraph, concat: Operator) -> bool:
    split = graph.producer(concat.inputs[0])
    if split is None or split.op_type != "Split" or split.outputs != concat.inputs:
        return False
    return _axis(graph, split) == _axis(graph, concat) and graph.bypass(concat, split.inputs[0])


def _cancel_split(graph: OnnxGraph, split: Operator) -> bool:
    concat = graph.producer(split.inputs[0])
    if concat is None or concat.op_type != "Concat" or _axis(graph, split) != _axis(graph, concat):
        return False
    if [graph.shape(name) for name in split.outputs] != [graph.shape(name) for name in concat.inputs]:
        return False
    if any(name in graph.outputs for name in split.outputs):
        return False
    for old, new in zip(split.outputs, concat.inputs, strict=True):
        graph.replace(old, new)
    graph.remove(split)
    return True
