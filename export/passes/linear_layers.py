"""Convolutions, products and normalisations as one thing: a matrix for each group of channels, and a bias."""

import numpy as np

from msnoah.export.mapped_file import drop_pages
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.passes.constant_adds import split_constant

OUT_AXIS = {"Conv": 1, "ConvTranspose": 2, "MatMul": 2, "BatchNormalization": 2, "LayerNormalization": 2}
"""Where the result's channels are in weights of shape (groups, a, b, kernel): of Conv (g, out, in, k), of others
(g, in, out, k). A normalisation's gamma has one group a channel."""

LAST = ("MatMul", "LayerNormalization")
"""What has its channels along the last axis; the others along axis 1."""

RANK = {"MatMul": 2, "LayerNormalization": 1}
"""Axes that their weights must have."""


class Layer:
    """x W + b, each product computed in float64 and rounded once.

    Attributes:
        operator: the convolution, product or normalisation.
        addition: the Add behind a product that is its bias, or None.
        weight: (groups, out, in, kernel) for Conv, (groups, in, out, kernel) for the others; None until it is changed.
        bias: float64 (groups * out,); None stands for zeros.
    """

    def __init__(self, graph: OnnxGraph, operator: Operator, addition: Operator | None = None):
        self.graph, self.operator, self.addition = graph, operator, addition
        self.out_axis = OUT_AXIS[operator.op_type]
        name = split_constant(graph, addition)[1] if addition else (operator.inputs + ["", ""])[2]
        self.weight, self.bias = None, graph.constants[name].astype(np.float64) if name else None

    @property
    def axis(self) -> int:
        """Where the channels of the result are."""
        return -1 if self.operator.op_type in LAST else 1

    def change_outputs(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Scales and shifts the result, (C,) each."""
        if np.any(scale != 1):
            self._scale_weight(scale, self.out_axis)
        if self.bias is not None or shift.any():
            self.bias = shift + scale * (0 if self.bias is None else self.bias)

    def change_inputs(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Scales and shifts what it reads, (C,) each."""
        inputs = 3 - self.out_axis
        if shift.any():
            weight = self._read_weight()
            added = (weight * _along(shift, weight, inputs)).sum((inputs, 3)).reshape(-1)
            self.bias = added if self.bias is None else self.bias + added
        self._scale_weight(scale, inputs)

    def write(self) -> None:
        """Writes weight and bias back into the graph; a product must have an Add for a bias."""
        graph, operator = self.graph, self.operator
        inputs = list(operator.inputs)
        if self.weight is not None:
            inputs[1] = self._replace(inputs[1], self.weight)
        if self.addition is not None:
            index = self.addition.inputs.index(split_constant(graph, self.addition)[1])
            graph.set_input(self.addition, index, self._replace(self.addition.inputs[index], self.bias))
        elif self.bias is not None and len(inputs) > 2 and inputs[2]:
            inputs[2] = self._replace(inputs[2], self.bias)
        elif self.bias is not None:
            bias = self.bias.astype(graph.constants[inputs[1]].dtype)
            inputs[2:] = [graph.add_constant(f"{operator.name}.bias", bias)]
        graph.rewrite(operator, operator.op_type, inputs, operator.attributes)

    def _scale_weight(self, scale: np.ndarray, axis: int) -> None:
        weight = self._read_weight()
        # Without a copy of all weights in float64, which would take twice their room.
        result = np.empty(weight.shape, weight.dtype)
        self.weight = np.multiply(
            weight, _along(scale, weight, axis), out=result, dtype=np.float64, casting="same_kind")

    def _read_weight(self) -> np.ndarray:
        if self.weight is not None:
            return self.weight
        weight = self.graph.constants[self.operator.inputs[1]]
        if self.operator.op_type == "MatMul":
            return weight[None, :, :, None]
        groups = weight.size if weight.ndim == 1 else self.operator.attributes.get("group", 1)
        return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1] if weight.ndim > 1 else 1, -1)

    def _replace(self, name: str, array: np.ndarray) -> str:
        old = self.graph.constants[name]
        drop_pages(old)  # Else memory holds the weights of the file beside the new ones.
        wanted = name if name.endswith(".folded") else f"{name}.folded"
        stored = array.reshape(old.shape).astype(old.dtype, copy=False)
        return self.graph.add_constant(wanted, np.ascontiguousarray(stored))


def read_layer(graph: OnnxGraph, operator: Operator | None) -> Layer | None:
    """A convolution, product with a constant on the right, or normalisation; None unless its weights are known."""
    if operator is None or operator.op_type not in OUT_AXIS or len(operator.outputs) != 1:
        return None
    if any(name and name not in graph.constants for name in operator.inputs[1:]):
        return None
    is_layer = operator.op_type not in LAST or len(graph.shape(operator.inputs[1])) == RANK[operator.op_type]
    return Layer(graph, operator) if is_layer else None


def find_layer(graph: OnnxGraph, name: str) -> Layer | None:
    """The layer whose result a value is, if only one operator reads it and what lies between; a product may have its
    bias added."""
    operator = graph.producer(name)
    if operator is None or graph.only_user(name) is None:
        return None
    addition = split_constant(graph, operator)
    if addition is None:
        return read_layer(graph, operator)
    product = graph.producer(addition[0]) if graph.only_user(addition[0]) is not None else None
    if product is None or product.op_type != "MatMul" or read_layer(graph, product) is None:
        return None
    return Layer(graph, product, operator) if graph.shape(addition[1]) == graph.shape(name)[-1:] else None


def _along(numbers: np.ndarray, weight: np.ndarray, axis: int) -> np.ndarray:
    """(groups * n,) in a shape that broadcasts against (groups, a, b, kernel), with n on an axis."""
    sizes = [weight.shape[0], 1, 1, 1]
    sizes[axis] = weight.shape[axis]
    return numbers.reshape(sizes)
