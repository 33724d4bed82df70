"""OpenVINO on the CPU: float32 arithmetic, one stream of as many threads as are asked for, at a fixed batch."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.runtimes.base import NodeTimes, OperatorTime, median_times
from msnoah.deploy.runtimes.requirement import Requirement
from msnoah.errors import ProfileError

OPENVINO = Requirement("openvino", "openvino", "pip install openvino")


class OpenVinoRuntime:
    """Runs .onnx files as they are."""

    name = "openvino"
    kind = "onnx"
    thread_control = "threads of the compiled model, one stream, not pinned"
    requirements = (OPENVINO,)
    purpose = "ONNX on x86 processors"
    operator_times = True

    def prepare(self, threads: int) -> None:
        """Nothing: the compiled model takes the number of threads."""

    def version(self) -> str:
        """The installed version of OpenVINO."""
        return OPENVINO.version()

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """The artifact itself, and the batch size that it will be compiled for."""
        return replace(artifact, batch=batch)

    def load(self, artifact: Artifact, threads: int) -> "OpenVinoSession":
        """Reads the graph, fixes its batch and compiles it; ProfileError says what OpenVINO refuses."""
        return OpenVinoSession(artifact.path, artifact.batch, threads)


class OpenVinoSession:
    """A compiled graph and one request to it."""

    def __init__(self, path: Path, batch: int | None, threads: int):
        self.source = path, batch, threads
        compiled = _compile(*self.source)
        self.inputs = [_spec(port) for port in compiled.inputs]
        self.request = compiled.create_infer_request()
        self.outputs = range(len(compiled.outputs))

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs once; the request is done when `infer` returns, and its buffers are copied since it uses them again."""
        with _refusals("run"):
            self.request.infer(list(feeds))
        return [self.request.get_output_tensor(index).data.copy() for index in self.outputs]

    def operators(self, feeds: Sequence[np.ndarray], runs: int) -> list[OperatorTime]:
        """Median time of each node over `runs` runs after one that is left out, added up by OpenVINO's node type.

        Nodes are those of the compiled graph: fused ones are not in it, changes of layout (Reorder) are. A node's time
        is a whole number of microseconds.
        """
        request = _compile(*self.source, profiled=True).create_infer_request()
        durations: NodeTimes = defaultdict(list)
        for _ in range(runs + 1):
            request.infer(list(feeds))
            for node in request.profiling_info:
                if node.status == node.Status.EXECUTED:
                    durations[node.node_type, node.node_name].append(node.real_time.total_seconds() * 1e3)
        return median_times(durations)


def _compile(path: Path, batch: int | None, threads: int, profiled: bool = False):
    """A graph for the CPU. OpenVINO takes bfloat16 by itself on processors that have it, so float32 is asked for."""
    openvino = OPENVINO.load()
    properties = {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False, "PERF_COUNT": profiled,
    }
    with _refusals(f"load {path.name}"):
        core = openvino.Core()
        model = core.read_model(str(path))
        model.reshape({index: _at_batch(port, batch) for index, port in enumerate(model.inputs)})
        return core.compile_model(model, "CPU", properties)


def _at_batch(port, batch: int | None):
    """The shape of an input with the batch in the place of a free first axis."""
    shape = port.partial_shape
    if batch is not None and len(shape) and shape[0].is_dynamic:
        shape[0] = batch
    return shape


def _spec(port) -> TensorSpec:
    shape = tuple(None if axis.is_dynamic else axis.get_length() for axis in port.partial_shape)
    return TensorSpec(name=port.node.friendly_name, shape=shape, dtype=port.element_type.to_dtype().name)


@contextmanager
def _refusals(action: str) -> Iterator[None]:
    """OpenVINO's errors name places in its sources first; what is wrong stands in their last line."""
    try:
        yield
    except RuntimeError as error:
        lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
        raise ProfileError(f"openvino cannot {action}: {lines[-1][:300] if lines else 'it gives no reason'}") from error
