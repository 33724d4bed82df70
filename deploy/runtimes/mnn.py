"""MNN on the CPU: float32 with high precision, in as many threads as are asked for, at a fixed batch."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.runtimes.base import NodeKey, OperatorTime, Origin, median_times
from msnoah.deploy.runtimes.conversion import Converter, read_interface
from msnoah.deploy.runtimes.requirement import Requirement
from msnoah.errors import ProfileError

MODEL_FILE = "model.mnn"
MNN = Requirement("MNN", "MNN", "pip install MNN")
ADDED = re.compile(r"(__matmul_converted|_raster_\d+)+$")  # what MNN appends to a node's name
# numpy's names of element types -> MNN's
DTYPES = {"float32": "float", "float64": "double", "int32": "int", "int64": "int64", "uint8": "uint8", "int8": "int8"}


class MnnRuntime:
    """Runs .onnx files that its own tool has converted."""

    name = "mnn"
    kinds = ("onnx",)
    thread_control = "threads of the runtime manager"
    requirements = (MNN,)
    purpose = "phones and boards; converts ONNX by its own tool"
    operator_times = True

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
        self.mnn, self.folder, self.threads = mnn, folder, threads
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
        """Time of each node over `runs` runs after one that is left out, from MNN's older interface.

        Its interpreter calls back before and after each node, and that call is in the node's time: CPU time where there
        is one thread, which other programs do not lengthen.
        """
        interpreter = self.mnn.Interpreter(str(self.folder / MODEL_FILE))
        session = interpreter.createSession({"backend": "CPU", "numThread": self.threads, "precision": "high"})
        self._set_inputs(interpreter, session, feeds)
        recorder = NodeRecorder(time.process_time if self.threads == 1 else time.perf_counter)
        for _ in range(runs + 1):
            interpreter.runSessionWithCallBackInfo(session, recorder.begin, recorder.end)
        origins = {key: trace_origin(key) for key in recorder.durations}
        return median_times(recorder.durations, runs + 1, origins)

    def _set_inputs(self, interpreter, session, feeds: Sequence[np.ndarray]) -> None:
        for spec, feed in zip(self.inputs, feeds, strict=True):
            target = interpreter.getSessionInput(session, spec.name)
            kind = getattr(self.mnn, f"Halide_Type_{_mnn_dtype(spec.dtype).capitalize()}")
            layout = self.mnn.Tensor_DimensionType_Caffe
            target.copyFrom(self.mnn.Tensor(feed.shape, kind, np.ascontiguousarray(feed), layout))


class NodeRecorder:
    """Takes the time between MNN's calls before and after each node; several nodes may have one name."""

    def __init__(self, clock: Callable[[], float]):
        self.clock = clock
        self.durations: dict[NodeKey, list[float]] = defaultdict(list)

    def begin(self, _tensors, _node) -> bool:
        """True: run the node."""
        self.start = self.clock()
        return True

    def end(self, _tensors, node) -> bool:
        """True: go on."""
        ms = (self.clock() - self.start) * 1e3
        self.durations[NodeKey(node.getType(), node.getName())].append(ms)
        return True


def trace_origin(key: NodeKey) -> Origin:
    """The value of the artifact that a node writes: MNN keeps its name and appends what became of the node.

    A Raster moves numbers to where a node wants them.
    """
    return Origin((ADDED.sub("", key.node),), auxiliary=key.operator == "Raster")


def _mnn_dtype(name: str) -> str:
    if name not in DTYPES:
        raise ProfileError(f"mnn takes no inputs of type {name}; it takes {', '.join(DTYPES)}")
    return DTYPES[name]
