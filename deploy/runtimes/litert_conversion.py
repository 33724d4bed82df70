"""`python -m msnoah.deploy.runtimes.litert_conversion model.onnx folder batch`: ONNX -> .tflite by onnx2tf.

onnx2tf moves channels to the last axis, of inputs and outputs too, and keeps names but not the order. So inputs are
kept as they are by its own option, outputs are flattened behind the batch, whose elements then have the artifact's
order, and all get names that TensorFlow leaves alone. Then this process becomes onnx2tf in its side environment.
"""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import onnx

from msnoah.deploy import environments
from msnoah.deploy.environments.table import ONNX2TF
from msnoah.deploy.runtimes.fixed_graph import read_at_batch, write_interface
from msnoah.deploy.runtimes.litert import INPUT, LAYOUT_FILE, MODEL_FILE, OUTPUT
from msnoah.export.graph import TensorType
from msnoah.export.onnx_graph import OnnxGraph, Operator

SCRIPT = Path(environments.__file__).with_name("onnx2tf_converter.py")
CALIBRATION_FILE = "calibration_image_sample_data_20x128x128x3_float32.npy"
"""onnx2tf downloads it where it is not in the working folder; what is in it decides nothing in float32."""


def main(source: str, folder: str, batch: str) -> None:
    """Leaves MODEL_FILE, the interface and the outputs' shapes in a folder, among other files."""
    graph, target = read_at_batch(Path(source), int(batch)), Path(folder)
    write_interface(graph, target)
    shapes = [graph.shape(name) for name in graph.outputs]
    (target / LAYOUT_FILE).write_text(json.dumps({"outputs": shapes}), encoding="utf-8")
    rename_inputs(graph)
    flatten_outputs(graph)
    kept = [name for name in graph.inputs if 3 <= len(graph.shape(name)) <= 5]   # of others no axis moves
    onnx.save(graph.to_model(keep=False), target / "model.onnx")
    np.save(target / CALIBRATION_FILE, np.zeros((20, 128, 128, 3), np.float32))
    os.chdir(target)
    python = ONNX2TF.interpreter
    # onnx2tf calls onnxsim by its name
    environment = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    os.execve(python, [str(python), "-I", str(SCRIPT), "model.onnx", MODEL_FILE, *kept], environment)


def rename_inputs(graph: OnnxGraph) -> None:
    """Inputs as INPUT with their number, in order."""
    for index, name in enumerate(graph.inputs):
        wanted = graph.unique(INPUT.format(index))
        graph.types[wanted] = graph.types[name]
        graph.replace(name, wanted)
        graph.inputs[index] = wanted


def flatten_outputs(graph: OnnxGraph) -> None:
    """Outputs as OUTPUT with their number, each a matrix: the first axis, and all others as one."""
    for index, name in enumerate(graph.outputs):
        shape, flat = graph.shape(name), graph.unique(OUTPUT.format(index))
        rows = shape[0] if shape else 1
        matrix = (rows, math.prod(shape) // max(rows, 1))
        sizes = graph.add_constant(f"{flat}.shape", np.array(matrix, np.int64))
        type_ = TensorType(graph.types[name].dtype, matrix)
        graph.add_operator(Operator("Reshape", flat, [name, sizes], [flat]), [type_])
        graph.outputs[index] = flat


if __name__ == "__main__":
    main(*sys.argv[1:])
