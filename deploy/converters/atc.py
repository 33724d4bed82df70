"""ATC of Huawei's CANN: ONNX to .om for Ascend. Options by CANN's ATC guide (--framework=5 is ONNX)."""

import re

from msnoah.deploy.converters.base import Request, join_shapes


class Atc:
    """The driver of `atc`."""

    name = "atc"
    program = "atc"
    places = {"ASCEND_TOOLKIT_HOME": "bin/atc", "ASCEND_HOME_PATH": "bin/atc"}
    get_from = "Huawei's CANN toolkit (hiascend.com), then `source set_env.sh`"
    devices = {"ascend310b": "Ascend310B4", "ascend310": "Ascend310"}
    # E19010: No parser is registered ..., EZ3002: Optype [...] is unsupported ...
    error_line = re.compile(r"^E[A-Z]?\d{4,5}: ")
    suffixes = (".om",)

    def command(self, program: str, request: Request) -> list[str]:
        """ATC adds .om to the output."""
        return [
            program, f"--model={request.onnx}", "--framework=5", f"--output={request.stem}",
            f"--soc_version={request.device}", f"--input_shape={join_shapes(request.shapes)}",
        ]
