"""One row of the tests of functions: an expression becomes a Cell, is exported, converted, compared with MindSpore."""

import linecache
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
import onnxruntime
from mindspore import Tensor, mint, nn, ops
from primitive_case import flatten

from msnoah.export.converter import mindir_to_onnx

TOLERANCE = 1e-5
"""Largest difference of floats, relative to the largest element; anything else must be equal."""

NAMES = "x", "y", "z"
"""What the inputs are called in the sources."""

SCOPE = {"ms": ms, "Tensor": Tensor, "mint": mint, "nn": nn, "ops": ops, "__name__": __name__}
TEMPLATE = """class Expression(nn.Cell):
    def __init__(self):
        super().__init__()
        self.layer = {layer}

    def construct(self, {arguments}):
        {statements}
        return {result}
"""


@dataclass
class Expression:
    """Python source in x, y, z as it stands in `construct`: statements between semicolons, the result last. `layer` is
    what `self.layer` holds; `reference` stands in for a kernel that the CPU lacks."""

    source: str
    inputs: tuple
    layer: str = "None"
    reference: Any = None

    def __str__(self) -> str:
        return self.source if self.layer == "None" else self.layer


def expression(source: str, *inputs: np.ndarray, reference=None) -> Expression:
    return Expression(source, inputs, "None", reference)


def expressions(inputs: tuple, *sources: str) -> list[Expression]:
    """One row for each source, all with the same inputs."""
    return [Expression(source, inputs) for source in sources]


def layer(source: str, *inputs: np.ndarray, reference=None) -> Expression:
    """A Cell, given as source, called with the inputs."""
    return Expression(f"self.layer({', '.join(NAMES[:len(inputs)])})", inputs, source, reference)


def build_cell(case: Expression) -> nn.Cell:
    """The Cell; its source is put where MindSpore's parser looks for it."""
    *statements, result = case.source.split("; ")
    source = TEMPLATE.format(
        layer=case.layer, arguments=", ".join(NAMES[:len(case.inputs)]),
        statements="\n        ".join(statements or ["pass"]), result=result)
    name = f"<expression {case}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    scope = dict(SCOPE)
    exec(compile(source, name, "exec"), scope)
    return scope["Expression"]()


def export_expression(case: Expression, folder) -> tuple[nn.Cell, bytes]:
    """The Cell and its MindIR."""
    cell = build_cell(case)
    ms.export(cell, *[Tensor(x) for x in case.inputs], file_name=str(folder / "net.mindir"), file_format="MINDIR")
    return cell, (folder / "net.mindir").read_bytes()


def check_expression(case: Expression, folder) -> None:
    cell, mindir = export_expression(case, folder)
    session = onnxruntime.InferenceSession(mindir_to_onnx(mindir).SerializeToString())
    outputs = session.run(None, {info.name: x for info, x in zip(session.get_inputs(), case.inputs, strict=True)})
    run = case.reference or (lambda *inputs: cell(*map(Tensor, inputs)))
    expected = flatten(run(*case.inputs))
    assert len(outputs) == len(expected)
    for output, array in zip(outputs, expected, strict=True):
        assert output.dtype == array.dtype and output.shape == array.shape
        if np.issubdtype(array.dtype, np.floating) and array.size:
            assert np.abs(output - array).max() <= TOLERANCE * max(np.abs(array).max(), 1e-6)
        else:
            assert np.array_equal(output, array)
