"""The inference runtimes by name."""

from msnoah.deploy.runtimes.base import Runtime
from msnoah.deploy.runtimes.mindspore import MindSporeRuntime
from msnoah.deploy.runtimes.mnn import MnnRuntime
from msnoah.deploy.runtimes.ncnn import NcnnRuntime
from msnoah.deploy.runtimes.onnxruntime import OnnxRuntime
from msnoah.errors import RuntimeUnavailableError

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime for runtime in (OnnxRuntime(), MindSporeRuntime(), MnnRuntime(), NcnnRuntime())
}


def find_runtime(name: str) -> Runtime:
    """The runtime of a name; RuntimeUnavailableError lists the known ones."""
    if name not in RUNTIMES:
        raise RuntimeUnavailableError(f"unknown runtime '{name}'; known: {', '.join(RUNTIMES)}")
    return RUNTIMES[name]
