"""Small edits of a whole ONNX model in place, batch left open: names, order of nodes, constants that nothing reads."""

from collections.abc import Iterator, Sequence

import onnx

from msnoah.errors import ConversionError, describe_failure
from msnoah.export.complexity import list_bodies


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the types of all values that ONNX can infer, and a name of its own for each node.

    Raises:
        ConversionError: ONNX refuses the graph.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise ConversionError(f"ONNX refuses the graph: {describe_failure(error)}") from None
    name_nodes(inferred)
    return inferred


def name_nodes(model: onnx.ModelProto) -> None:
    """Gives every node of the graph a name of its own, in place, which some exporters do not."""
    seen: set[str] = set()
    for node in model.graph.node:
        if not node.name or node.name in seen:
            node.name = node.output[0] if node.output[0] not in seen else f"{node.output[0]}.{len(seen)}"
        seen.add(node.name)


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """ONNX's numbers of the element types of all values whose type the model declares, by name."""
    infos = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    return {info.name: info.type.tensor_type.elem_type for info in infos} | {
        tensor.name: tensor.data_type for tensor in model.graph.initializer}


def replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Puts nodes in place of those that the graph has, which may be among them."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Takes constants out that nothing reads, bodies of If, Loop and Scan included."""
    read = {value.name for value in graph.output} | set(names_read(graph))
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def names_read(graph: onnx.GraphProto) -> Iterator[str]:
    """All that the nodes of a graph read, and the nodes of bodies within it, and what a body gives."""
    for node in graph.node:
        yield from node.input
        for body in list_bodies(node):
            yield from names_read(body)
            yield from (value.name for value in body.output)
