"""RKNN-Toolkit2 of Rockchip: ONNX to .rknn. It is a Python package without a documented command, so a script drives it.

The package needs its own Python; MSNOAH_RKNN_PYTHON names that one's executable.
"""

import re
from pathlib import Path

from msnoah.deploy.converters.base import Request

SCRIPT = Path(__file__).parent / "rknn_script.py"


class Rknn:
    """The driver of rknn-toolkit2."""

    name = "rknn-toolkit2"
    program = ""
    places = {"MSNOAH_RKNN_PYTHON": ""}
    get_from = (
        "`pip install rknn-toolkit2` in a Python of its own (github.com/airockchip/rknn-toolkit2), with that Python's "
        "path in MSNOAH_RKNN_PYTHON")
    devices = {"rk3588": "rk3588"}
    # `E build: ...` of the toolkit's log, and what ends the script.
    error_line = re.compile(r"^E (\w+( \w+)?: )?\S|^\w*Error: |^rknn_script: ")
    suffixes = (".rknn",)

    def command(self, program: str, request: Request) -> list[str]:
        """The script takes platform, graph, result, then name and sizes of each input."""
        shapes = [f"{name}:{','.join(map(str, shape))}" for name, shape in request.shapes.items()]
        return [program, str(SCRIPT), request.device, str(request.onnx), f"{request.stem}.rknn", *shapes]
