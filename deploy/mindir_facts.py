"""A MindIR file's graph in the form that ONNX graphs have here, for rows of MindSpore's profiler.

MindSpore drops the scopes of a MindIR that it loads and numbers the nodes of each primitive in the file's order
(`MatMul-op3` is the fourth), so these are the names.
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from msnoah.deploy.npu.facts import GraphFacts, OperatorFacts, TensorFacts
from msnoah.export.graph import Node, Program, TensorType
from msnoah.export.reader import read_mindir

PICKS = "TupleGetItem"
Shape = tuple[int, ...]


def read_mindir_facts(path: Path) -> GraphFacts:
    """The main graph of a MindIR, whose sizes are those that it was compiled for; `opset` is 0, `batch` the first axis.

    Raises:
        ConversionError: not a MindIR, or one that cannot be read.
    """
    program = read_mindir(path)
    reader = _Reader(program)
    inputs = tuple(reader.tensor(name) for name in program.main.inputs)
    batch = next((tensor.shape[0] for tensor in inputs if tensor.shape), 1)
    return GraphFacts(path=path, batch=batch, opset=0, operators=tuple(reader.operators()), inputs=inputs,
                      open_batch=False, open_axes=())


class _Reader:
    def __init__(self, program: Program):
        self.program = program
        self.types = dict(zip(program.main.inputs, program.input_types))
        self.types |= {node.output: node.type for node in program.main.nodes}
        self.parts: dict[str, list[str]] = {}  # of a tuple: the values that are picked from it
        for node in program.main.nodes:
            if node.primitive == PICKS:
                self.parts.setdefault(node.operands[0], []).append(node.output)

    def operators(self) -> Iterator[OperatorFacts]:
        """The nodes in the file's order; picking from a tuple is none."""
        numbers: Counter[str] = Counter()
        for node in self.program.main.nodes:
            if node.primitive not in (PICKS, ""):
                yield self._operator(node, numbers[node.primitive])
                numbers[node.primitive] += 1

    def tensor(self, name: str) -> TensorFacts:
        """The facts of a value; of a parameter under its checkpoint name."""
        known, constant = self.program.known.get(name), name in self.program.known
        if isinstance(known, np.ndarray):
            return TensorFacts(self.program.parameters.get(name, "Constant"), known.dtype.name, known.shape, True)
        type_ = self.types.get(name)
        if isinstance(type_, TensorType):
            return TensorFacts(name, type_.dtype.name, type_.shape, constant)
        return TensorFacts(name, None, None, constant)

    def _operator(self, node: Node, number: int) -> OperatorFacts:
        tensors = [self.tensor(name) for name in node.operands]
        inputs = tuple(tensor for tensor in tensors if tensor.shape is not None)
        outputs = tuple(self.tensor(name) for name in self.parts.get(node.output, [node.output]))
        return OperatorFacts(
            op_type=node.primitive, name=f"{node.primitive}-op{number}", module=node.scope, inputs=inputs,
            outputs=outputs, attributes={}, opset=0, macs=_count_macs(node.primitive, inputs, outputs))


def _count_macs(primitive: str, inputs: tuple[TensorFacts, ...], outputs: tuple[TensorFacts, ...]) -> int | None:
    """As msnoah.export.complexity counts: 0 of what has no products, None where a size is not known."""
    if primitive not in _COUNTERS:
        return 0
    if len(inputs) < 2 or outputs[0].shape is None:
        return None
    return _COUNTERS[primitive](inputs[0].shape, inputs[1].shape, outputs[0].shape)


def _count_product(first: Shape, _second: Shape, out: Shape) -> int:
    """Whichever of the first one's last two axes is not the output's is added up."""
    rows = out[-2]
    return math.prod(out) * (first[-1] if first[-2] == rows else first[-2])


def _count_dense(first: Shape, _weight: Shape, out: Shape) -> int:
    return math.prod(out) * first[-1]


def _count_convolution(_first: Shape, weight: Shape, out: Shape) -> int:
    return math.prod(out) * math.prod(weight[1:])


_COUNTERS = {
    "MatMul": _count_product, "BatchMatMul": _count_product, "MatMulExt": _count_product,
    "BatchMatMulExt": _count_product, "Dense": _count_dense, "Conv2D": _count_convolution, "Conv3D": _count_convolution,
}
