"""MNN on the CPU: float32 with high precision, in as many threads as are asked for, at a fixed batch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.runtimes.base import OperatorTime
from msnoah.deploy.runtimes.conversion import Converter, read_interface
from msnoah.deploy.runtimes.requirement import Requirement
from msnoah.errors import ProfileError

MODEL_FILE = "model.mnn"
MNN = Requirement("MNN", "MNN", "pip install MNN")
# numpy's names of element types -> MNN's
DTYPES = {"float32": "float", "float64": "double", "int32": "int", "int64": "int64", "uint8": "uint8", "int8": "int8"}


class MnnRuntime:
    """Runs .onnx files that its own tool has converted."""

    name = "mnn"
    kind = "onnx"
    thread_control = "threads of the runtime manager"
    requirements = (MNN,)
    purpose = "phones and boards; converts ONNX by its own tool"
    operator_times = False

    def prepare(self, threads: int) -> None:
        """Nothing: the runtime manager takes the number of threads."""

    def version(self) -> str:
        """The installed version of MNN."""
        return MNN.version()

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """The artifact as .mnn; ProfileError says what became of a converter that failed."""
        module = "msnoah.deploy.runtimes.mnn_conversion"
        return Converter(self.name, module, self.version(), (MODEL_FILE,)).convert(artifact, batch)

    def load(self, artifact: Artifact, threads: int) -> "MnnSession":
        """Loads what `convert` made."""
        return MnnSession(artifact.path, threads)


class MnnSession:
    """A module of MNN's expression interface."""

    def __init__(self, folder: Path, threads: int):
        mnn, interface = MNN.load(), read_interface(folder)
        self.expr, self.inputs = mnn.expr, interface.inputs
        self.kinds = [getattr(mnn.expr, _mnn_dtype(spec.dtype)) for spec in interface.inputs]
        self.manager = mnn.nn.create_runtime_manager(({"backend": 0, "numThread": threads, "precision": "high"},))
        names = [spec.name for spec in interface.inputs], list(interface.outputs)
        self.module = mnn.nn.load_module_from_file(str(folder / MODEL_FILE), *names, runtime_manager=self.manager)

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs once; reading the outputs waits until they are computed."""
        layout = self.expr.NCHW
        pairs = zip(feeds, self.kinds, strict=True)
        outputs = self.module.forward([self.expr.const(feed, list(feed.shape), layout, kind) for feed, kind in pairs])
        return [np.array(self.expr.convert(output, layout).read()) for output in outputs]

    def operators(self, feeds: Sequence[np.ndarray], runs: int) -> list[OperatorTime]:
        """None: MNN's Python interface has no profiler."""
        return []


def _mnn_dtype(name: str) -> str:
    if name not in DTYPES:
        raise ProfileError(f"mnn takes no inputs of type {name}; it takes {', '.join(DTYPES)}")
    return DTYPES[name]
