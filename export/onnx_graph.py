"""An ONNX graph that is cheap to edit: operators as plain objects, constants as numpy arrays, uses kept up to date."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from msnoah.export.graph import TensorType, Value
from msnoah.export.mapped_file import drop_pages

STRIPE = 32
"""Columns of a transposed matrix that are copied together: a cache line or two of each row."""


@dataclass(eq=False)
class Operator:
    """One ONNX node. An empty input name is an optional input left out.

    The body of an If or Loop is an attribute, an `OnnxGraph` of its own: it has its own names for what it reads from
    outside, `captures`, and the operator's last inputs are those values, in the same order.
    """

    op_type: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def bodies(self) -> list["OnnxGraph"]:
        """The graphs that it runs."""
        return [value for value in self.attributes.values() if isinstance(value, OnnxGraph)]


class OnnxGraph:
    """Operators in running order, with the values they define.

    Attributes:
        operators: in topological order.
        constants: the initializers, numpy arrays by name.
        types: element type and shape by value name.
        inputs, outputs: names of the graph's own.
        captures: in a body, its names for the values that it reads from outside.
    """

    def __init__(self, opset: int):
        self.opset = opset
        self.operators: list[Operator] = []
        self.constants: dict[str, np.ndarray] = {}
        self.types: dict[str, TensorType] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.captures: list[str] = []
        self._producers: dict[str, Operator] = {}
        self._users: dict[str, list[Operator]] = {}
        self._counts: dict[str, int] = {}

    # --- reading

    def producer(self, name: str) -> Operator | None:
        """The operator that defines a value; None for inputs and constants."""
        return self._producers.get(name)

    def users(self, name: str) -> list[Operator]:
        """The operators that read a value, once for each time they do."""
        return self._users.get(name, [])

    def only_user(self, name: str) -> Operator | None:
        """The one operator that reads a value, if there is exactly one use and the value is no output."""
        users = self.users(name)
        return users[0] if len(users) == 1 and name not in self.outputs else None

    def shape(self, name: str) -> tuple[int, ...]:
        """Static shape of a value."""
        return self.types[name].shape

    # --- writing

    def unique(self, wanted: str) -> str:
        """A name that no value or operator has yet."""
        count = self._counts.get(wanted, 0)
        self._counts[wanted] = count + 1
        return self.unique(f"{wanted}_{count}") if count else wanted

    def reserve(self, names: Iterable[str]) -> None:
        """Keeps names free for the outputs, which are added last."""
        for name in names:
            self._counts[name] = 1

    def save_names(self) -> dict[str, int]:
        """What `restore_names` needs to make the names free again that are given from now on."""
        return self._counts.copy()

    def restore_names(self, saved: dict[str, int]) -> None:
        """Frees the names of what was built as a trial and has been dropped."""
        self._counts.clear()
        self._counts.update(saved)

    def start_body(self) -> "OnnxGraph":
        """An empty graph for the body of an operator; names stay unique across both."""
        body = OnnxGraph(self.opset)
        body._counts = self._counts
        return body

    def capture(self, name: str, type_: TensorType) -> None:
        """Makes a value known; one that is not the graph's own is captured, under the name that it has outside."""
        if name not in self.types:
            self.captures.append(name)
            self.types[name] = type_

    def absorb(self, body: "OnnxGraph") -> None:
        """Takes over what a body holds, in place of an operator that would run it."""
        for name, array in body.constants.items():
            self.hold_constant(name, array)
        for name in body.captures:
            self.capture(name, body.types[name])
        for operator in body.operators:
            self.add_operator(operator, [body.types[name] for name in operator.outputs])

    def add_input(self, wanted: str, type_: TensorType) -> Value:
        """Adds a graph input."""
        name = self.unique(wanted)
        self.inputs.append(name)
        self.types[name] = type_
        return Value(name, type_.dtype, type_.shape)

    def add_constant(self, wanted: str, array: np.ndarray) -> str:
        """Adds an initializer under the wanted name or the next free one."""
        name = self.unique(wanted)
        self.hold_constant(name, array)
        return name

    def hold_constant(self, name: str, array: np.ndarray) -> None:
        """Adds an initializer whose name is known to be free."""
        self.constants[name] = array
        self.types[name] = TensorType(array.dtype, array.shape)

    def add_operator(self, operator: Operator, types: list[TensorType], before: Operator | None = None) -> None:
        """Appends an operator, or inserts it before another; `types` are those of its outputs."""
        index = len(self.operators) if before is None else self.operators.index(before)
        self.operators.insert(index, operator)
        for name, type_ in zip(operator.outputs, types, strict=True):
            self.types[name] = type_
            self._producers[name] = operator
        for name in operator.inputs:
            self._users.setdefault(name, []).append(operator)

    def remove(self, operator: Operator) -> None:
        """Takes an operator out; its outputs must have no users left."""
        self.operators.remove(operator)
        for name in operator.outputs:
            self._producers.pop(name, None)
        for name in operator.inputs:
            self._users[name].remove(operator)

    def set_input(self, operator: Operator, index: int, name: str) -> None:
        """Makes an operator read another value."""
        self._users[operator.inputs[index]].remove(operator)
        operator.inputs[index] = name
        self._users.setdefault(name, []).append(operator)

    def rewrite(self, operator: Operator, op_type: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        """Turns an operator into another one with the same outputs."""
        for name in operator.inputs:
            self._users[name].remove(operator)
        operator.op_type, operator.inputs, operator.attributes = op_type, inputs, attributes
        for name in inputs:
            self._users.setdefault(name, []).append(operator)

    def bypass(self, operator: Operator, name: str) -> bool:
        """Lets the users of an operator's output read `name` instead and takes the operator out; False if its
        output must stay."""
        if not self.replace(operator.outputs[0], name):
            return False
        self.remove(operator)
        return True

    def replace(self, old: str, new: str) -> bool:
        """Lets all users of `old` read `new`; False if `old` is a graph output that cannot carry another name."""
        if old in self.outputs:
            return self._rename_to_output(new, old)
        for operator in list(self.users(old)):
            for index, name in enumerate(operator.inputs):
                if name == old:
                    self.set_input(operator, index, new)
        return True

    def _rename_to_output(self, name: str, output: str) -> bool:
        # The value `name` takes over the output's name; its defining operator must be free to be renamed.
        producer = self.producer(name)
        if producer is None or name in self.outputs:
            return False
        old_producer = self._producers[output]
        old_producer.outputs[old_producer.outputs.index(output)] = self.unique(f"{output}.dropped")
        producer.outputs[producer.outputs.index(name)] = output
        del self._producers[name]
        self._producers[output] = producer
        for operator in list(self.users(name)):
            for index, used in enumerate(operator.inputs):
                if used == name:
                    self.set_input(operator, index, output)
        return True

    # --- protobuf

    def to_model(self, *, keep: bool = True) -> onnx.ModelProto:
        """The graph as a model that passes `onnx.checker`; the same graph always gives the same bytes.

        With keep=False the graph ends with it: each constant goes as soon as the model has it, so that memory never
        holds them all twice.
        """
        opset = helper.make_opsetid("", self.opset)
        ir_version = helper.find_min_ir_version_for([opset])
        model = onnx.ModelProto(ir_version=ir_version, producer_name="msnoah", opset_import=[opset])
        self._write("msnoah", model.graph, {}, keep)
        return model

    def _write(self, title: str, graph: onnx.GraphProto, outside: dict[str, str], keep: bool) -> None:
        # Filled in place: weights that pass through the functions of onnx.helper are copied twice.
        graph.name = title
        graph.node.extend(_write_operator(operator, outside, keep) for operator in self.operators)
        for name in list(self.constants):
            _write_tensor(graph.initializer.add(), name, self.constants[name])
            if not keep:
                del self.constants[name]
        graph.input.extend(map(self._value_info, self.inputs))
        graph.output.extend(map(self._value_info, self.outputs))
        graph.value_info.extend(map(self._value_info, self._inner_names()))

    def _inner_names(self) -> Iterator[str]:
        for operator in self.operators:
            yield from (name for name in operator.outputs if name and name not in self.outputs)

    def _value_info(self, name: str) -> onnx.ValueInfoProto:
        type_ = self.types[name]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(type_.dtype), type_.shape)

    @classmethod
    def from_model(cls, model: onnx.ModelProto) -> "OnnxGraph":
        """Reads a model with static shapes, as `to_model` writes it or as any exporter does."""
        proto = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        graph = cls(next(o.version for o in model.opset_import if o.domain == ""))
        infos = {info.name: _read_type(info) for info in (*proto.input, *proto.value_info, *proto.output)}
        for initializer in proto.initializer:
            graph.add_constant(initializer.name, numpy_helper.to_array(initializer))
        for info in proto.input:
            if info.name not in graph.constants:
                graph.add_input(info.name, infos[info.name])
        for node in proto.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            operator = Operator(node.op_type, node.name, list(node.input), list(node.output), attributes)
            for name in operator.outputs:
                graph.unique(name)
            graph.add_operator(operator, [infos[name] for name in operator.outputs])
        graph.outputs = [info.name for info in proto.output]
        return graph


def _write_operator(operator: Operator, outside: dict[str, str], keep: bool) -> onnx.NodeProto:
    """A node; `outside` maps captured names to those that the values bear in the enclosing graphs."""
    inputs = [outside.get(name, name) for name in operator.inputs]
    plain = {name: value for name, value in operator.attributes.items() if not isinstance(value, OnnxGraph)}
    count = len(operator.bodies[0].captures) if operator.bodies else 0
    own, captured = inputs[:len(inputs) - count], inputs[len(inputs) - count:]
    node = helper.make_node(operator.op_type, own, operator.outputs, operator.name, **plain)
    for name, body in operator.attributes.items():
        if isinstance(body, OnnxGraph):
            attribute = node.attribute.add(name=name, type=onnx.AttributeProto.GRAPH)
            body._write(f"{operator.name}.{name}", attribute.g, dict(zip(body.captures, captured, strict=True)), keep)
    return node


def _write_tensor(tensor: onnx.TensorProto, name: str, array: np.ndarray) -> None:
    tensor.name, tensor.data_type = name, helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor.dims.extend(array.shape)
    tensor.raw_data = _in_rows(array).tobytes()
    drop_pages(array)


def _in_rows(array: np.ndarray) -> np.ndarray:
    """The array; a transposed matrix copied in stripes that stay in the cache, four times as fast as numpy's copy."""
    if array.ndim != 2 or array.flags.c_contiguous or not array.flags.f_contiguous:
        return array
    rows = np.empty(array.shape, array.dtype)
    for start in range(0, array.shape[1], STRIPE):
        rows[:, start:start + STRIPE] = array[:, start:start + STRIPE]
    return rows


def _read_type(info: onnx.ValueInfoProto) -> TensorType:
    tensor = info.type.tensor_type
    shape = tuple(dim.dim_value for dim in tensor.shape.dim)
    return TensorType(helper.tensor_dtype_to_np_dtype(tensor.elem_type), shape)
