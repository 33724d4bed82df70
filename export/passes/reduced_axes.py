"""The axes of a reduction, which newer operator sets take as an input."""

from msnoah.export.onnx_graph import OnnxGraph, Operator


def read_axes(graph: OnnxGraph, operator: Operator) -> list[int] | None:
    """The axes, counted from the front and sorted; None if they are all, or known only at run time."""
    axes = operator.attributes.get("axes")
    if len(operator.inputs) > 1:
        axes = graph.constants.get(operator.inputs[1])
    return None if axes is None else sorted(int(axis) % len(graph.shape(operator.inputs[0])) for axis in axes)
