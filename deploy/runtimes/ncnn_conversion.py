"""`python -m msnoah.deploy.runtimes.ncnn_conversion model.onnx folder batch`: ONNX -> ncnn by pnnx's program.

pnnx's package is not imported, since that imports torch. This process becomes the program, whose crash is then its own.
"""

import importlib.util
import os
import sys
from pathlib import Path

import onnx

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.runtimes.fixed_graph import average_for_sums, read_at_batch, slice_single_rows, write_interface

SUFFIXES = {"float32": "f32", "float16": "f16", "int32": "i32", "int64": "i64", "uint8": "u8", "int8": "i8"}


ABSENT = {"TopK", "GatherND", "GatherElements", "ScatterElements", "ScatterND"}
"""Operators that ncnn has no layer for; pnnx dies of some of them."""


def main(source: str, folder: str, batch: str) -> None:
    """Leaves model.ncnn.param, model.ncnn.bin, model_ncnn.py and the interface in a folder, among other files."""
    graph, target = read_at_batch(Path(source), int(batch)), Path(folder)
    absent = sorted({operator.op_type for operator in graph.operators} & ABSENT)
    if absent:
        sys.exit(f"ncnn has no {', '.join(absent)}; `msnoah export --token-merging matrix` merges tokens without")
    slice_single_rows(graph)
    average_for_sums(graph)
    interface = write_interface(graph, target)
    onnx.save(graph.to_model(keep=False), target / "model.onnx")
    program = str(pnnx_program())
    shapes = ",".join(map(_written, interface.inputs))
    os.chdir(target)
    os.execv(program, [program, "model.onnx", f"inputshape={shapes}", "fp16=0"])


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
