"""`python -m msnoah.deploy.runtimes.mnn_conversion model.onnx folder batch`: ONNX -> MNN by the tool in MNN's package.

MNN.tools.mnnconvert, and so the command `mnnconvert`, must not be imported: it installs packages by pip and sends what
was converted to a server. The extension module under it, `_tools`, does the work and nothing else.
"""

import sys
from pathlib import Path

import onnx

from msnoah.deploy.runtimes.fixed_graph import halve_before_erf, read_at_batch, write_interface

MODEL_FILE = "model.mnn"


def main(source: str, folder: str, batch: str) -> None:
    """Writes MODEL_FILE and the interface into a folder."""
    graph, target = read_at_batch(Path(source), int(batch)), Path(folder)
    halve_before_erf(graph)
    write_interface(graph, target)
    fixed = target / "fixed.onnx"
    onnx.save(graph.to_model(keep=False), fixed)
    import _tools
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", str(fixed), "--MNNModel", str(target / MODEL_FILE),
                       "--bizCode", "msnoah"])


if __name__ == "__main__":
    main(*sys.argv[1:])
