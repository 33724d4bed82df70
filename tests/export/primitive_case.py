"""One row of the primitive tests: a tiny Cell is exported, converted, and run in ONNX Runtime on the same inputs."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
import onnxruntime
from mindspore import Tensor, nn
from primitive_cells import Apply

from msnoah.export.catalog import list_primitives
from msnoah.export.converter import find_operators, mindir_to_onnx

TOLERANCE = 1e-5
"""Largest difference, relative to the largest element: float32 sums in another order stay far below."""


@dataclass
class Case:
    """Primitives that must appear in the MindIR, a callable, run-time inputs, constants, and a reference
    where the CPU has no kernel, or none that can be trusted.
    """

    primitives: str
    function: Any
    inputs: tuple
    constants: tuple = ()
    cell: type = Apply
    reference: Any = None
    tolerance: float = TOLERANCE
    opset: int = 17

    def __str__(self) -> str:
        return self.primitives.replace(" ", "-")

    @property
    def compared_with(self) -> str:
        return "numpy" if self.reference else "mindspore"


def case(
    primitives: str, function, *inputs, constants=(), cell=Apply, reference=None, tolerance=TOLERANCE, opset=17
) -> Case:
    return Case(primitives, function, inputs, constants, cell, reference, tolerance, opset)


def export(case_: Case, path) -> nn.Cell:
    cell = case_.cell(case_.function, case_.constants) if case_.function else case_.cell()
    ms.export(cell, *[Tensor(x) for x in case_.inputs], file_name=str(path), file_format="MINDIR")
    return cell


def flatten(result) -> list[np.ndarray]:
    if isinstance(result, tuple | list):
        return [array for item in result for array in flatten(item)]
    return [result.asnumpy() if isinstance(result, Tensor) else np.asarray(result)]


def check_case(case_: Case, folder) -> None:
    cell = export(case_, folder / "net.mindir")
    if case_.primitives:
        check_catalog(case_, find_operators(folder / "net.mindir", opset=case_.opset))
    session = onnxruntime.InferenceSession(mindir_to_onnx(folder / "net.mindir", opset=case_.opset).SerializeToString())
    outputs = session.run(None, {info.name: x for info, x in zip(session.get_inputs(), case_.inputs, strict=True)})
    expected = flatten(case_.reference(*case_.inputs) if case_.reference else cell(*[Tensor(x) for x in case_.inputs]))
    assert len(outputs) == len(expected)
    for output, array in zip(outputs, expected, strict=True):
        assert output.dtype == array.dtype and output.shape == array.shape
        if array.size and array.dtype != bool:
            assert np.abs(output - array).max() <= case_.tolerance * max(np.abs(array).max(), 1e-6)
        else:
            assert np.array_equal(output, array)


def check_catalog(case_: Case, found: dict[str, set[str]]) -> None:
    """The row's primitives are in the MindIR, and what they become stands in the list that users see."""
    named = set(case_.primitives.split())
    assert found.keys() >= named, f"MindIR has {sorted(found)}"
    listed = {primitive.name: primitive for primitive in list_primitives()}
    for name in named:
        missing = found[name] - set(listed[name].operators)
        assert not missing, f"{name} becomes {missing}, which primitives.csv lacks; run tests/export/write_catalog.py"
