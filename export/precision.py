"""float16 in place of float32: weights that take half the room, or arithmetic in float16 altogether."""

import numpy as np
from onnx import TensorProto

from msnoah.errors import ConversionError
from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator
from msnoah.export.opsets import takes
from msnoah.export.passes.dead_code import remove_dead_code

MODES = ("weights", "all")

FLOAT, HALF = np.dtype(np.float32), np.dtype(np.float16)

SMALL = 256
"""Elements; smaller constants (numbers, biases, bounds) stay float32 where only weights are stored as float16."""

SENSITIVE = {
    "BatchNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization", "RMSNormalization",
    "Softmax", "LogSoftmax", "Softplus", "Exp", "Log", "CumSum", "GlobalAveragePool", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Einsum",
    "Resize", "GridSample", "Cast",
}
"""What adds up or takes apart so many numbers, or such large ones, that float16 would lose too much; Resize and
GridSample compute coordinates; a Cast to float32 may come from integers that float16 has not."""


def use_float16(graph: OnnxGraph, mode: str | None) -> None:
    """Stores or computes in float16.

    Args:
        graph: edited in place; its inputs and outputs stay float32.
        mode: "weights": float32 constants are stored as float16 and cast when the model is loaded, so that the file is
            half as large and arithmetic stays float32. "all": arithmetic in float16 too, but for `SENSITIVE` operators
            and the bodies of If and Loop; activations over 65504 overflow. None: nothing changes. Constants that
            float16 cannot hold stay float32.

    Raises:
        ConversionError: another mode.
    """
    check_float16(mode)
    if mode == "weights":
        _store_weights(graph)
    elif mode == "all":
        _Halving(graph).run()
        remove_dead_code(graph)


def check_float16(mode: str | None) -> None:
    """Refuses another mode than those of `use_float16`."""
    if mode is not None and mode not in MODES:
        raise ConversionError(f"float16='{mode}' is not known; use {' or '.join(map(repr, MODES))}, or leave it out")


def fits_float16(array: np.ndarray) -> bool:
    """Whether float16 holds all numbers, rounded; infinities and NaN do not count as numbers that it should hold."""
    return bool(np.isfinite(array).all()) and float(np.abs(array).max(initial=0)) <= np.finfo(HALF).max


def _store_weights(graph: OnnxGraph) -> None:
    for name, array in list(graph.constants.items()):
        if array.dtype != FLOAT or array.size < SMALL or name in graph.outputs or not fits_float16(array):
            continue
        users = graph.users(name)
        first = next((operator for operator in graph.operators if operator in users), None)
        stored = graph.add_constant(f"{name}.float16", array.astype(HALF))
        if first is not None:
            graph.replace(name, _add_cast(graph, stored, f"{name}.float32", FLOAT, first))
        del graph.constants[name]


def _add_cast(graph: OnnxGraph, source: str, wanted: str, dtype: np.dtype, before: Operator) -> str:
    name, to = graph.unique(wanted), TensorProto.FLOAT if dtype == FLOAT else TensorProto.FLOAT16
    operator = Operator("Cast", name, [source], [name], {"to": int(to)})
    graph.add_operator(operator, [TensorType(dtype, graph.shape(source))], before=before)
    return name


class _Halving:
    """Goes through the operators in order. What was float32 is computed as float16 or stays; an operator that needs
    the other gets it from a Cast, one for each value."""

    def __init__(self, graph: OnnxGraph):
        self.graph = graph
        self.halved: set[str] = set()
        self.other: dict[str, str] = {}

    def run(self) -> None:
        for operator in self.graph.operators.copy():
            floats = [index for index, name in enumerate(operator.inputs) if name and self._was_float(name)]
            halve = self._can_halve(operator, floats)
            for index in floats:
                name = operator.inputs[index]
                if (name in self.halved) != halve:
                    self.graph.set_input(operator, index, self._convert(operator, name))
            if halve:
                self._halve_outputs(operator)

    def _was_float(self, name: str) -> bool:
        return name in self.halved or self.graph.types[name].dtype == FLOAT

    def _can_halve(self, operator: Operator, floats: list[int]) -> bool:
        graph, names = self.graph, operator.inputs
        if operator.op_type in SENSITIVE or operator.bodies or not floats:
            return False
        if len(operator.outputs) > 1 and any(name in graph.outputs for name in operator.outputs):
            return False
        own_halves = any(name and graph.types[name].dtype == HALF and name not in self.halved for name in names)
        fits = all(fits_float16(graph.constants[name]) for name in map(names.__getitem__, floats)
                   if name in graph.constants)
        return fits and not own_halves and all(takes(operator.op_type, graph.opset, HALF, index) for index in floats)

    def _convert(self, operator: Operator, name: str) -> str:
        """The same value in the other element type."""
        if name in self.other:
            return self.other[name]
        to_float = name in self.halved
        dtype, wanted = (FLOAT, f"{name}.float32") if to_float else (HALF, f"{name}.float16")
        if name in self.graph.constants:
            result = self.graph.add_constant(wanted, self.graph.constants[name].astype(dtype))
        else:
            result = _add_cast(self.graph, name, wanted, dtype, operator)
        if not to_float:
            self.halved.add(result)
        self.other[name] = result
        return result

    def _halve_outputs(self, operator: Operator) -> None:
        graph = self.graph
        for name in [name for name in operator.outputs if name and graph.types[name].dtype == FLOAT]:
            if name not in graph.outputs:
                graph.types[name] = TensorType(HALF, graph.shape(name))
                self.halved.add(name)
                continue
            inner = graph.unique(f"{name}.float16")
            copy = Operator(operator.op_type, inner, list(operator.inputs), [inner], operator.attributes)
            graph.add_operator(copy, [TensorType(HALF, graph.shape(name))], before=operator)
            graph.rewrite(operator, "Cast", [inner], {"to": int(TensorProto.FLOAT)})
            self.halved.add(inner)
            self.other[name] = inner
