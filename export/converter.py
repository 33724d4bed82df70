"""MindIR -> ONNX."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from msnoah.errors import ConversionError
from msnoah.export.builder import Builder
from msnoah.export.interpreter import Interpreter
from msnoah.export.missing import check_primitives
from msnoah.export.onnx_file import check_onnx
from msnoah.export.opsets import NEWEST_OPSET, OLDEST_OPSET
from msnoah.export.passes import run_passes, select_passes
from msnoah.export.precision import check_float16, use_float16
from msnoah.export.reader import read_mindir


def mindir_to_onnx(
    source: str | Path | bytes,
    *,
    opset: int = 17,
    input_names: list[str] | None = None,
    output_names: list[str] | None = None,
    passes: Sequence[str] | None = None,
    float16: str | None = None,
) -> onnx.ModelProto:
    """Converts a MindIR file with static shapes.

    Args:
        source: path or contents of a file that `mindspore.export` wrote.
        opset: ONNX operator set, 13 to 28; what older ones have not is written with what they have.
        input_names: names for the inputs, in order; by default those of `construct`.
        output_names: names for the outputs, in order (nested tuples flattened); by default output, or output_0,
            output_1, ...
        passes: clean-ups by name (`msnoah.export.passes.list_passes` gives them): these alone, or, each with a minus
            sign before it, all but these; all by default.
        float16: "weights" stores weights as float16 and computes in float32; "all" computes in float16 as well, with
            float32 inputs and outputs (`msnoah.export.precision` says what stays float32); by default neither.

    Returns:
        A model that passes `onnx.checker`; the same network gives the same bytes.

    Raises:
        ConversionError: the file cannot be read, holds primitives without handler (all are named at once), or a node
            has no ONNX form.
    """
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ConversionError(f"opset {opset} is not known; use {OLDEST_OPSET} to {NEWEST_OPSET}")
    select_passes(passes)
    check_float16(float16)
    with np.errstate(all="ignore"):  # Infinity and NaN among the weights are the network's own affair.
        graph = _interpret(source, opset, input_names, output_names).graph
        run_passes(graph, passes)
    use_float16(graph, float16)
    model = graph.to_model(keep=False)
    check_onnx(model)
    return model


def find_operators(source: str | Path | bytes, *, opset: int = 17) -> dict[str, set[str]]:
    """The ONNX operators that each primitive of a MindIR file becomes, before the graph is cleaned up."""
    return _interpret(source, opset).operators


def _interpret(source, opset: int, input_names=None, output_names=None) -> Builder:
    program = read_mindir(source)
    check_primitives(program)
    builder = Builder(opset)
    Interpreter(program, builder).run(input_names, output_names)
    return builder
