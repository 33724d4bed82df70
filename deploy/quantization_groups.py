"""The layers of a network that are quantised, or stay float, together: products that belong to one module."""

from dataclasses import dataclass

import onnx

from msnoah.deploy.npu.facts import module_name
from msnoah.errors import ConversionError
from msnoah.export.complexity import count_node_macs, fix_batch, infer_shapes, read_shapes
from msnoah.export.quantization import list_products

WEIGHT = ".weight"
"""What stands behind the module in the name of its weights."""


@dataclass(frozen=True)
class Group:
    """Products of one module; `macs` are multiply-accumulates of one sample."""

    name: str
    nodes: tuple[str, ...]
    macs: int


def find_groups(model: onnx.ModelProto) -> list[Group]:
    """The groups of a model in running order.

    A product belongs to the module whose weights it has, since modules of one form may share the names of nodes. One
    without such weights, as within attention, goes by its own name.

    Raises:
        ConversionError: there is nothing to quantise.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    graph = infer_shapes(fix_batch(model, 1))
    shapes = read_shapes(graph)
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in list_products(model):
        found.setdefault(_module(node, constants), []).append(node)
    if not found:
        raise ConversionError("the graph holds no float32 convolutions or matrix products that could be quantised")
    return [Group(name, tuple(node.name for node in nodes), sum(_macs(node, shapes) for node in nodes))
            for name, nodes in found.items()]


def _module(node: onnx.NodeProto, constants: set[str]) -> str:
    owners = [name.split(WEIGHT)[0] for name in node.input if name in constants and WEIGHT in name]
    return owners[0] if owners else module_name(node.name) or node.name


def _macs(node: onnx.NodeProto, shapes: dict) -> int:
    """0 where a size is open beside the batch: the share of such a layer is not known."""
    try:
        return count_node_macs(node, shapes)
    except ConversionError:
        return 0
