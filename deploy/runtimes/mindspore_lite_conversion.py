"""`python -m msnoah.deploy.runtimes.mindspore_lite_conversion model.onnx folder batch`: ONNX -> .ms by its converter.

Spells the graph as MindSpore Lite 2.0.0 gets it right, then becomes the converter in Lite's environment, whose crash is
this process's own.
"""

import math
import os
import sys
from pathlib import Path

import numpy as np
import onnx

from msnoah.deploy import environments
from msnoah.deploy.environments.table import MINDSPORE_LITE
from msnoah.deploy.runtimes.fixed_graph import read_at_batch, write_interface
from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator

SCRIPT = Path(environments.__file__).with_name("mindspore_lite_converter.py")
HUGE = np.float32(1e30)
"""Twice this factor takes the smallest float32, 1.4e-45, beyond 1."""


def main(source: str, folder: str, batch: str) -> None:
    """Leaves model.ms and the interface in a folder, among other files."""
    graph, target = read_at_batch(Path(source), int(batch)), Path(folder)
    for spell in SPELLINGS:
        spell(graph)
    write_interface(graph, target)
    onnx.save(graph.to_model(keep=False), target / "fixed.onnx")
    python = str(MINDSPORE_LITE.interpreter)
    os.chdir(target)
    os.execv(python, [python, "-I", str(SCRIPT), "fixed.onnx", "model"])


def add_pairs(graph: OnnxGraph) -> None:
    """Sum of three and more as Adds: Lite takes two."""
    for operator in _all(graph, "Sum"):
        first, *others = operator.inputs
        for term in others[:-1]:
            first = _insert(graph, operator, "Add", [first, term])
        graph.rewrite(operator, "Add" if others else "Identity", [first, *others[-1:]], {})


def clip_for_sign(graph: OnnxGraph) -> None:
    """sign(x) as x, times a huge number, clipped to -1 and 1: Lite has no Sign. Zero stays zero, NaN stays NaN."""
    for operator in _all(graph, "Sign"):
        [x] = operator.inputs
        huge, low, high = (_constant(graph, operator, word, number)
                           for word, number in (("huge", HUGE), ("low", np.float32(-1)), ("high", np.float32(1))))
        for _ in range(2):
            x = _insert(graph, operator, "Mul", [x, huge])
        graph.rewrite(operator, "Clip", [x, low, high], {})


def gather_from_whole(graph: OnnxGraph) -> None:
    """GatherND of each image as one of all, with the image's number in the index: Lite leaves batch_dims aside."""
    for operator in _all(graph, "GatherND"):
        dims = operator.attributes.get("batch_dims", 0)
        if not dims:
            continue
        x, index = operator.inputs
        type_ = graph.types[index]
        leading = type_.shape[:-1]
        numbers = np.stack(np.indices(leading)[:dims], -1).astype(type_.dtype)
        prefix = _constant(graph, operator, "batch", numbers)
        whole = graph.unique(f"{operator.outputs[0]}.index")
        taken = TensorType(type_.dtype, (*leading, dims + type_.shape[-1]))
        concat = Operator("Concat", whole, [prefix, index], [whole], {"axis": len(leading)})
        graph.add_operator(concat, [taken], before=operator)
        graph.rewrite(operator, "GatherND", [x, whole], {})


def state_defaults(graph: OnnxGraph) -> None:
    """The attributes of a Conv that ONNX lets one leave out, and Lite does not."""
    for operator in _all(graph, "Conv"):
        kernel = list(graph.shape(operator.inputs[1])[2:])
        ones = [1] * len(kernel)
        operator.attributes = {"kernel_shape": kernel, "strides": ones, "dilations": ones, **operator.attributes}


def take_largest(graph: OnnxGraph) -> None:
    """TopK of the smallest as that of the largest of -x: Lite takes the largest in both cases, without a word."""
    for operator in _all(graph, "TopK"):
        if operator.attributes.get("largest", 1):
            continue
        (x, k), (values, places) = operator.inputs, operator.outputs
        position = graph.operators.index(operator) + 1
        following = graph.operators[position] if position < len(graph.operators) else None
        negated, type_ = _insert(graph, operator, "Neg", [x], graph.types[x]), graph.types[values]
        graph.remove(operator)
        largest = graph.unique(f"{values}.largest")
        attributes = {**operator.attributes, "largest": 1}
        graph.add_operator(Operator("TopK", largest, [negated, k], [largest, places], attributes),
                           [type_, graph.types[places]], before=following)
        graph.add_operator(Operator("Neg", f"{operator.name}.back", [largest], [values]), [type_], before=following)


def spell_layer_norm(graph: OnnxGraph) -> None:
    """LayerNorm over the last axis by its definition: Lite's own takes an estimate of 1 / sqrt, 3.5e-4 off.

    With c = x - mean(x) over n numbers, c / sqrt(sum(c^2) / n + eps) = sqrt(n) c / sqrt(sum(c^2) + n eps). In the
    second form, with sqrt(n) in gamma, Lite does not find its LayerNorm again.
    """
    for operator in _all(graph, "LayerNormalization"):
        x, gamma, *beta = operator.inputs
        rank, width = len(graph.shape(x)), graph.shape(x)[-1]
        scale = graph.constants.get(gamma)
        if operator.attributes.get("axis", -1) not in (-1, rank - 1) or scale is None or len(operator.outputs) > 1:
            continue
        row = TensorType(graph.types[x].dtype, (*graph.shape(x)[:-1], 1))
        eps = np.array(width * operator.attributes.get("epsilon", 1e-5), scale.dtype)
        mean = _insert(graph, operator, "ReduceMean", [x], row, {"axes": [rank - 1], "keepdims": 1})
        centred = _insert(graph, operator, "Sub", [x, mean])
        squares = _insert(graph, operator, "Mul", [centred, centred])
        axis = _constant(graph, operator, "axis", np.array([rank - 1], np.int64))
        total = _insert(graph, operator, "ReduceSum", [squares, axis], row, {"keepdims": 1})
        total = _insert(graph, operator, "Add", [total, _constant(graph, operator, "eps", eps)], row)
        norm = _insert(graph, operator, "Sqrt", [total], row)
        unit = _insert(graph, operator, "Div", [centred, norm])
        gamma = _constant(graph, operator, "gamma", (scale * math.sqrt(width)).astype(scale.dtype))
        if beta:
            scaled = _insert(graph, operator, "Mul", [unit, gamma])
            graph.rewrite(operator, "Add", [scaled, *beta], {})
        else:
            graph.rewrite(operator, "Mul", [unit, gamma], {})


def _all(graph: OnnxGraph, op_type: str) -> list[Operator]:
    return [operator for operator in graph.operators if operator.op_type == op_type]


def _constant(graph: OnnxGraph, operator: Operator, word: str, array: np.ndarray) -> str:
    return graph.add_constant(f"{operator.outputs[0]}.{word}", np.asarray(array))


def _insert(graph: OnnxGraph, before: Operator, op_type: str, inputs: list[str], type_: TensorType | None = None,
            attributes: dict | None = None) -> str:
    """An operator before another, whose output is of the other's type if no type is given; gives the output's name."""
    name = graph.unique(f"{before.outputs[0]}.{op_type}")
    operator = Operator(op_type, name, inputs, [name], attributes or {})
    graph.add_operator(operator, [type_ or graph.types[before.outputs[0]]], before=before)
    return name


SPELLINGS = (add_pairs, clip_for_sign, gather_from_whole, state_defaults, take_largest, spell_layer_norm)
"""Rewrites of what MindSpore Lite 2.0.0 lacks or computes otherwise; each leaves the graph's outputs as they are."""


if __name__ == "__main__":
    main(*sys.argv[1:])
