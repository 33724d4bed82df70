"""converter_lite of MindSpore Lite: ONNX to .ms, which the Kirin NPU runs through HiAI. Options by its guide."""

import re

from msnoah.deploy.converters.base import Request, join_shapes


class ConverterLite:
    """The driver of `converter_lite`."""

    name = "converter_lite"
    program = "converter_lite"
    places = {"PACKAGE_ROOT_PATH": "tools/converter/converter/converter_lite"}
    get_from = "the MindSpore Lite package (mindspore.cn/lite), with tools/converter/lib on LD_LIBRARY_PATH"
    devices = {"kirin-npu": "general"}
    error_line = re.compile(r"^\[ERROR\]|CONVERT RESULT FAILED")
    suffixes = (".ms",)

    def command(self, program: str, request: Request) -> list[str]:
        """converter_lite adds .ms to the output; the guide advises NCHW for hardware of that layout."""
        return [
            program, "--fmk=ONNX", f"--modelFile={request.onnx}", f"--outputFile={request.stem}",
            f"--inputShape={join_shapes(request.shapes)}", "--inputDataFormat=NCHW", f"--optimize={request.device}",
        ]
