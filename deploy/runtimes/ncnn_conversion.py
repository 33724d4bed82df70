"""`python -m msnoah.deploy.runtimes.ncnn_conversion model.onnx folder batch`: ONNX -> ncnn by pnnx's program.

pnnx's package is not imported, since that imports torch. This process ends as its program does, be it by a signal.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import onnx

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.runtimes.fixed_graph import average_for_sums, read_at_batch, slice_single_rows, write_interface
from msnoah.deploy.runtimes.ncnn import AXES_FILE, NO_BATCH

EXAMPLE_FILE = "model_ncnn.py"  # pnnx's example, which alone tells where it has put the batch
SUFFIXES = {"float32": "f32", "float16": "f16", "int32": "i32", "int64": "i64", "uint8": "u8", "int8": "i8"}


ABSENT = {"TopK", "GatherND", "GatherElements", "ScatterElements", "ScatterND"}
"""Operators that ncnn has no layer for; pnnx dies of some of them."""


def main(source: str, folder: str, batch: str) -> None:
    """Leaves model.ncnn.param, model.ncnn.bin, batch_axes.json and the interface in a folder, among other files."""
    graph, target = read_at_batch(Path(source), int(batch)), Path(folder)
    absent = sorted({operator.op_type for operator in graph.operators} & ABSENT)
    if absent:
        sys.exit(f"ncnn has no {', '.join(absent)}; `msnoah export --token-merging matrix` merges tokens without")
    slice_single_rows(graph)
    average_for_sums(graph)
    interface = write_interface(graph, target)
    onnx.save(graph.to_model(keep=False), target / "model.onnx")
    shapes = ",".join(map(_written, interface.inputs))
    command = [str(pnnx_program()), "model.onnx", f"inputshape={shapes}", "fp16=0"]
    _end_as(subprocess.run(command, cwd=target, stdin=subprocess.DEVNULL).returncode)
    write_batch_axes(target)


def write_batch_axes(folder: Path) -> None:
    """Writes the places of the batch into AXES_FILE, so that no session has to read pnnx's example."""
    example = (folder / EXAMPLE_FILE).read_text(encoding="utf-8")
    axes = {"inputs": _batch_axes("in", example), "outputs": _batch_axes("out", example)}
    (folder / AXES_FILE).write_text(json.dumps(axes), encoding="utf-8")


def _batch_axes(kind: str, example: str) -> list[int | None]:
    """The batch_index of all inputs or outputs in pnnx's example, by number; None where there is no batch."""
    found = re.findall(rf"\b{kind}(\d+)\.numpy\((?:\), )?batch_index=(\d+)\)", example)
    ordered = sorted(found, key=lambda pair: int(pair[0]))
    return [None if int(axis) == NO_BATCH else int(axis) for _, axis in ordered]


def _end_as(code: int) -> None:
    """Ends this process by a failed program's exit code or signal; goes on after a good one."""
    if code < 0:
        os.kill(os.getpid(), -code)
    if code:
        sys.exit(code)


def pnnx_program() -> Path | None:
    """The converter's program, None where pnnx is not installed."""
    package = importlib.util.find_spec("pnnx")
    programs = (Path(folder) / name for folder in (package.submodule_search_locations if package else ())
                for name in ("pnnx", "pnnx.exe"))
    return next((program for program in programs if program.is_file()), None)


def _written(spec: TensorSpec) -> str:
    """[1,3,224,224]f32"""
    return f"[{','.join(map(str, spec.shape))}]{SUFFIXES.get(spec.dtype, spec.dtype)}"


if __name__ == "__main__":
    main(*sys.argv[1:])
