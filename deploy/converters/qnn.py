"""qnn-onnx-converter of Qualcomm's AI Engine Direct (QNN) SDK: ONNX to .cpp and .bin, to be compiled for a device."""

import re

from msnoah.deploy.converters.base import Request


class Qnn:
    """The driver of `qnn-onnx-converter`."""

    name = "qnn-onnx-converter"
    program = "qnn-onnx-converter"
    places = {"QNN_SDK_ROOT": "bin/x86_64-linux-clang/qnn-onnx-converter"}
    get_from = "Qualcomm's AI Engine Direct SDK (qualcomm.com), then `source bin/envsetup.sh`"
    devices = {"hexagon": "htp"}
    error_line = re.compile(r"(^|\W)ERROR(\W|$)|^\w*Error: ")
    suffixes = (".cpp", ".bin")

    def command(self, program: str, request: Request) -> list[str]:
        """One -d for each input: name, then its sizes with commas."""
        sizes = {name: ",".join(map(str, shape)) for name, shape in request.shapes.items()}
        dims = [part for name, text in sizes.items() for part in ("-d", name, text)]
        return [program, "--input_network", str(request.onnx), "--output_path", f"{request.stem}.cpp", *dims]
