"""What a rule can ask of an ONNX graph: operators with the types of what they read and write, at one batch size."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from msnoah.deploy.artifact_file import read_model
from msnoah.deploy.runtimes.fixed_graph import fold_constants
from msnoah.errors import ConversionError
from msnoah.export.complexity import count_node_macs, fix_batch, infer_shapes, list_bodies, read_shapes


@dataclass(frozen=True)
class TensorFacts:
    """A value: numpy dtype and shape, None where they are not known; `constant` if it is stored in the file."""

    name: str
    dtype: str | None
    shape: tuple[int, ...] | None
    constant: bool


@dataclass(frozen=True)
class OperatorFacts:
    """One node; `macs` is None where it cannot be counted (open sizes, or within the body of an If or Loop)."""

    op_type: str
    name: str
    module: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    attributes: dict[str, Any]
    opset: int
    macs: int | None

    @property
    def data(self) -> tuple[TensorFacts, ...]:
        """What flows through: inputs that are no weights, and outputs."""
        return (*(tensor for tensor in self.inputs if not tensor.constant), *self.outputs)


@dataclass(frozen=True)
class GraphFacts:
    """A graph at one batch size.

    Attributes:
        inputs: name and shape of each input with the batch in its place; None where an axis is still open.
        open_batch: whether the file leaves the first axis of an input open.
        open_axes: the other axes that it leaves open, as `image[2]`.
    """

    path: Path
    batch: int
    opset: int
    operators: tuple[OperatorFacts, ...]
    inputs: tuple[TensorFacts, ...]
    open_batch: bool
    open_axes: tuple[str, ...]


def read_facts(path: Path, batch: int = 1) -> GraphFacts:
    """Reads an ONNX file; what is constant at this batch, as sizes that it computes, is folded away.

    Raises:
        ProfileError: not an ONNX model.
        ConversionError: a graph that ONNX itself refuses.
    """
    model = read_model(path)
    if not model.graph.node:
        raise ConversionError(f"{path}: holds no operators; expected an ONNX graph")
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    open_axes = [(value.name, axis) for value in inputs for axis in _open_axes(value)]
    graph = _infer(path, model, batch)
    reader = _Reader(model, graph, stored | {tensor.name for tensor in graph.initializer})
    return GraphFacts(
        path=path, batch=batch, opset=reader.opset, operators=tuple(reader.operators(graph)),
        inputs=tuple(reader.tensor(value.name) for value in inputs),
        open_batch=any(axis == 0 for _, axis in open_axes),
        open_axes=tuple(f"{name}[{axis}]" for name, axis in open_axes if axis > 0),
    )


def _infer(path: Path, model: onnx.ModelProto, batch: int) -> onnx.GraphProto:
    fixed = fix_batch(model, batch)
    try:
        fold_constants(fixed)
        return infer_shapes(fixed)
    except (onnx.shape_inference.InferenceError, RuntimeError, TypeError, ValueError) as error:
        raise ConversionError(f"{path}: ONNX refuses the graph: {' '.join(str(error).split())[:300]}") from None


def _open_axes(value: onnx.ValueInfoProto) -> list[int]:
    dims = value.type.tensor_type.shape.dim
    return [axis for axis, dim in enumerate(dims) if not dim.HasField("dim_value")]


class _Reader:
    """Facts of the nodes of an inferred graph; `constants` are the names of what is stored in the file."""

    def __init__(self, model: onnx.ModelProto, graph: onnx.GraphProto, constants: set[str]):
        self.opset = max((entry.version for entry in model.opset_import if entry.domain == ""), default=0)
        self.constants = constants
        self.shapes: dict[str, list[int] | None] = {}
        self.dtypes: dict[str, str | None] = {}
        self._learn(graph)

    def operators(self, graph: onnx.GraphProto, outside: bool = True) -> Iterator[OperatorFacts]:
        """The nodes in running order, those of bodies behind the node that runs them."""
        for node in graph.node:
            yield self._operator(node, outside)
            for body in list_bodies(node):
                self._learn(body)
                yield from self.operators(body, outside=False)

    def tensor(self, name: str) -> TensorFacts:
        """The facts of a value."""
        shape = self.shapes.get(name)
        known = None if shape is None else tuple(shape)
        return TensorFacts(name, self.dtypes.get(name), known, name in self.constants)

    def _learn(self, graph: onnx.GraphProto) -> None:
        self.shapes |= read_shapes(graph)
        self.dtypes |= {info.name: _dtype(info.type.tensor_type.elem_type) for info in
                        (*graph.input, *graph.value_info, *graph.output)}
        self.dtypes |= {tensor.name: _dtype(tensor.data_type) for tensor in graph.initializer}
        self.constants |= {tensor.name for tensor in graph.initializer}

    def _operator(self, node: onnx.NodeProto, outside: bool) -> OperatorFacts:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute
                      if a.type != onnx.AttributeProto.GRAPH}
        return OperatorFacts(
            op_type=node.op_type, name=node.name or node.output[0], module=module_name(node.name),
            inputs=tuple(self.tensor(name) for name in node.input if name),
            outputs=tuple(self.tensor(name) for name in node.output if name),
            attributes=attributes, opset=self.opset, macs=self._macs(node) if outside else None,
        )

    def _macs(self, node: onnx.NodeProto) -> int | None:
        try:
            return count_node_macs(node, self.shapes)
        except ConversionError:
            return None


def module_name(node_name: str) -> str:
    """The module of the network that a node name carries: `blocks.0.attn.Reshape.MatMul_1` -> `blocks.0.attn`.

    It ends before the first name of an operator, which starts with a capital; PyTorch's slashes are dots. "" where no
    module is named.
    """
    parts = (part for part in node_name.replace("/", ".").split(".") if part)
    return ".".join(itertools.takewhile(lambda part: not part[0].isupper(), parts))


def _dtype(element_type: int) -> str | None:
    return str(helper.tensor_dtype_to_np_dtype(element_type)) if element_type else None
