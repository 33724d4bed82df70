"""What handlers write to: `Builder.op` appends one ONNX operator, or computes it at once if all its inputs are
known."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from msnoah.errors import ConversionError
from msnoah.export.folding import fold
from msnoah.export.graph import Node, TensorType, Value
from msnoah.export.lowerings import find_lowering
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.opsets import check_types, find_schema, respell

Tensor = Value | np.ndarray
"""A tensor while converting: known only at run time, or known now."""

DATA_LIMIT = 1024
"""Largest known input, in elements, whose contents ONNX's type inference gets to see: shapes and axes, not weights."""


class Builder:
    """Builds an `OnnxGraph` operator by operator.

    Attributes:
        graph: what has been built.
        opset: handlers may ask for it where a newer operator set has a shorter form (20: Gelu).
        scope: readable path of the Cell that is being converted; begins the names of new operators.
        type: what MindIR declares for the node that is being converted.
        operators: the ONNX operators that each primitive became.
    """

    def __init__(self, opset: int):
        self.graph = OnnxGraph(opset)
        self.opset = opset
        self.scope = ""
        self.type = None
        self.operators: dict[str, set[str]] = {}
        self._primitive = ""
        self._names: dict[int, str] = {}
        self._held: dict[OnnxGraph, dict[int, tuple[str, np.ndarray]]] = {}

    def enter(self, node: Node) -> None:
        """Begins a node: what is built from now on is its ONNX form."""
        self.scope, self.type, self._primitive = node.scope, node.type, node.primitive
        self.operators.setdefault(node.primitive, set())

    @property
    def place(self) -> str:
        """What error messages call the node that is being converted."""
        return self.scope or "the graph"

    def name_constant(self, array: np.ndarray, name: str) -> None:
        """Gives a known tensor the name that it bears if an operator uses it (a parameter's checkpoint name)."""
        self._names[id(array)] = name
        weakref.finalize(array, self._names.pop, id(array), None).atexit = False

    def op(self, operator: str, *inputs: Tensor | None, outputs: int = 1, **attributes: Any) -> Any:
        """One ONNX operator, as opset 17 or a newer one spells it; None stands for an optional input left out.

        Older sets get older operators of the same meaning (`lowerings`, `opsets`).

        Returns:
            A Value with the type that ONNX infers, or a numpy array if all inputs are known; a tuple if outputs > 1.

        Raises:
            ConversionError: ONNX refuses the operator for these inputs, or the operator set has not got it.
        """
        attributes = {name: value for name, value in attributes.items() if value is not None}
        while inputs and inputs[-1] is None:  # ONNX Runtime has no fast form of a Conv whose bias has an empty name.
            inputs = inputs[:-1]
        lowering = find_lowering(operator, inputs, self.opset)
        if lowering is not None:
            return lowering(self, *inputs, **attributes)
        try:
            inputs, attributes = respell(operator, inputs, attributes, self.opset)
            check_types(operator, inputs, self.opset)
            check_indices(operator, inputs, attributes)
        except ConversionError as error:
            where = ".".join(part for part in (self.scope, self._primitive) if part)
            raise ConversionError(f"{where or self.place}: {error}") from None
        schema = find_schema(operator, self.opset)
        if not any(isinstance(tensor, Value) for tensor in inputs):
            results = fold(operator, inputs, outputs, attributes, self.opset)
            self._name_folded(operator, inputs, results)
        else:
            results = self._append(schema, inputs, outputs, attributes)
        return results[0] if outputs == 1 else results

    def like(self, number: float | Tensor, tensor: Tensor) -> Tensor:
        """A Python number as a 0-d tensor of another's element type; a tensor as it is."""
        return number if isinstance(number, Value | np.ndarray) else np.array(number, tensor.dtype)

    def ints(self, *numbers: int) -> np.ndarray:
        """Integers as ONNX takes shapes, axes and counts: a 1-d int64 tensor."""
        return np.array(numbers, np.int64)

    def element_type(self, dtype: np.dtype) -> int:
        """ONNX's number of an element type."""
        return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    @contextmanager
    def inside(self, body: OnnxGraph) -> Iterator[OnnxGraph]:
        """Within it, what is built goes into the body of an operator that is added later by `add_bodies`."""
        outer, self.graph = self.graph, body
        try:
            yield body
        finally:
            self.graph = outer

    def add_bodies(self, operator: str, inputs: Sequence[Tensor], **bodies: OnnxGraph) -> tuple[Value, ...]:
        """One If or Loop; what its bodies read from outside it reads too. Returns a Value for each of its outputs.

        A Loop's first body output is its condition, which is no output of the operator.
        """
        first = next(iter(bodies.values()))
        types = [first.types[name] for name in first.outputs[operator == "Loop":]]
        captures = {name: body.types[name] for body in bodies.values() for name in body.captures}
        name = self.graph.unique(".".join(part for part in (self.scope, operator) if part))
        names = [self._input_name(tensor, name, f"input_{index}") for index, tensor in enumerate(inputs)]
        for captured, type_ in captures.items():
            self.graph.capture(captured, type_)
        for body in bodies.values():
            body.captures = list(captures)
        outputs = [f"{name}.{index}" for index in range(len(types))]
        self.graph.add_operator(Operator(operator, name, [*names, *captures], outputs, dict(bodies)), types)
        return tuple(Value(output, type_.dtype, type_.shape) for output, type_ in zip(outputs, types, strict=True))

    def add_output(self, name: str, tensor: Any) -> None:
        """Makes a tensor an output of the graph, under exactly this name; a number becomes a 0-d tensor."""
        if not isinstance(tensor, Value | np.ndarray | int | float):
            raise ConversionError(f"output '{name}' is {type(tensor).__name__}, which is no tensor")
        if not isinstance(tensor, Value | np.ndarray):
            tensor = np.array(tensor, np.float32 if isinstance(tensor, float) else None)
        type_ = TensorType(tensor.dtype, tuple(tensor.shape))
        source = self._input_name(tensor, name, "value")
        self.graph.add_operator(Operator("Identity", name, [source], [name]), [type_])
        self.graph.outputs.append(name)

    def _name_folded(self, operator: str, inputs, results: tuple[np.ndarray, ...]) -> None:
        names = [self._names[id(tensor)] for tensor in inputs if id(tensor) in self._names]
        if len(names) == 1:
            for result in results:
                self.name_constant(result, f"{names[0]}.{operator.lower()}")

    def _append(self, schema, inputs, outputs: int, attributes) -> tuple[Value, ...]:
        path = ".".join(part for part in (self.scope, schema.name) if part)
        name = self.graph.unique(path)
        names = [self._input_name(tensor, name, formal_name(schema, index)) for index, tensor in enumerate(inputs)]
        results = [name] if outputs == 1 else [f"{name}.{index}" for index in range(outputs)]
        types = self._infer(schema, helper.make_node(schema.name, names, results, **attributes))
        self.graph.add_operator(Operator(schema.name, name, names, results, attributes), types)
        self.operators.setdefault(self._primitive, set()).add(schema.name)
        return tuple(Value(result, type_.dtype, type_.shape) for result, type_ in zip(results, types, strict=True))

    def _input_name(self, tensor: Tensor | None, operator: str, formal: str) -> str:
        if tensor is None:
            return ""
        if isinstance(tensor, Value):
            self.graph.capture(tensor.name, TensorType(tensor.dtype, tensor.shape))
            return tensor.name
        held = self._held.setdefault(self.graph, {})
        if id(tensor) not in held:
            if id(tensor) not in self._names:
                self.name_constant(tensor, f"{operator}.{formal}")
            held[id(tensor)] = self.graph.add_constant(self._names[id(tensor)], tensor), tensor
        return held[id(tensor)][0]

    def _infer(self, schema, node: onnx.NodeProto) -> list[TensorType]:
        types, data = {}, {}
        for name in filter(None, node.input):
            types[name] = type_proto(self.graph.types[name])
            array = self.graph.constants.get(name)
            if array is not None and array.size <= DATA_LIMIT:
                data[name] = numpy_helper.from_array(array, name)
        try:
            inferred = onnx.shape_inference.infer_node_outputs(
                schema, node, types, data, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError) as error:
            raise ConversionError(
                f"{self.scope}: ONNX refuses {node.op_type}: "
                f"{' '.join(str(error).split())}") from None
        return [read_type_proto(inferred[name], node) for name in node.output]


def check_indices(operator: str, inputs: Sequence[Tensor | None], attributes: dict[str, Any]) -> None:
    """ConversionError if known indices lie outside of their axis, which ONNX notices only when it runs."""
    if operator not in ("Gather", "GatherElements") or not isinstance(inputs[1], np.ndarray) or not inputs[1].size:
        return
    low, high, size = inputs[1].min(), inputs[1].max(), inputs[0].shape[attributes.get("axis", 0)]
    if not -size <= low <= high < size:
        raise ConversionError(f"{operator} takes indices {low} to {high} of an axis of size {size}")


def formal_name(schema, index: int) -> str:
    """The name that ONNX's operator gives to an input."""
    return schema.inputs[min(index, len(schema.inputs) - 1)].name


def type_proto(type_: TensorType) -> onnx.TypeProto:
    """A tensor type as ONNX writes it."""
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(type_.dtype), type_.shape)


def read_type_proto(proto: onnx.TypeProto, node: onnx.NodeProto) -> TensorType:
    """A tensor type as ONNX infers it; ConversionError if it leaves a size open."""
    tensor = proto.tensor_type
    if not tensor.HasField("shape") or any(not dim.HasField("dim_value") for dim in tensor.shape.dim):
        raise ConversionError(f"{node.output[0]}: ONNX infers no static shape for {node.op_type}")
    shape = tuple(dim.dim_value for dim in tensor.shape.dim)
    return TensorType(helper.tensor_dtype_to_np_dtype(tensor.elem_type), shape)
