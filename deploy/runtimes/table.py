"""The inference runtimes by name."""

import difflib

from msnoah.deploy.runtimes.base import Runtime
from msnoah.deploy.runtimes.litert import LiteRtRuntime
from msnoah.deploy.runtimes.mindspore import MindSporeRuntime
from msnoah.deploy.runtimes.mindspore_lite import MindSporeLiteRuntime
from msnoah.deploy.runtimes.mnn import MnnRuntime
from msnoah.deploy.runtimes.ncnn import NcnnRuntime
from msnoah.deploy.runtimes.onnxruntime import OnnxRuntime
from msnoah.deploy.runtimes.openvino import OpenVinoRuntime
from msnoah.errors import RuntimeUnavailableError

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        OnnxRuntime(), MindSporeRuntime(), OpenVinoRuntime(), MnnRuntime(), NcnnRuntime(), LiteRtRuntime(),
        MindSporeLiteRuntime())
}


def find_runtime(name: str) -> Runtime:
    """The runtime of a name; RuntimeUnavailableError lists the known ones, the nearest first."""
    if name not in RUNTIMES:
        close = difflib.get_close_matches(name, RUNTIMES, n=1)
        nearest = f"did you mean '{close[0]}'? " if close else ""
        raise RuntimeUnavailableError(f"unknown runtime '{name}'; {nearest}known: {', '.join(RUNTIMES)}")
    return RUNTIMES[name]
