"""ONNX Runtime on the CPU: sequential execution, all graph optimisations, one pool of `threads` threads."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.runtimes.base import NodeTimes, OperatorTime, median_times
from msnoah.deploy.runtimes.requirement import Requirement
from msnoah.errors import RuntimeUnavailableError

# ONNX Runtime's names of element types -> numpy's.
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


ONNXRUNTIME = Requirement("onnxruntime", "onnxruntime", "pip install onnxruntime")


class OnnxRuntime:
    """Runs .onnx files."""

    name = "onnxruntime"
    kind = "onnx"
    thread_control = "intra-op threads of the session"
    requirements = (ONNXRUNTIME,)
    purpose = "ONNX on servers, desktops and boards; the default"
    operator_times = True

    def prepare(self, threads: int) -> None:
        """Nothing: the session takes the number of threads."""

    def version(self) -> str:
        """The installed version of onnxruntime."""
        return ONNXRUNTIME.version()

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """The artifact itself: it is what this runtime reads."""
        return artifact

    def load(self, artifact: Artifact, threads: int) -> "OnnxSession":
        """Loads and optimises the graph; the inputs are read from it."""
        return OnnxSession(artifact.path, threads)


class OnnxSession:
    """A loaded graph."""

    def __init__(self, path: Path, threads: int):
        self.path, self.threads = path, threads
        self.session = _open_session(path, threads)
        self.inputs = [_spec(value) for value in self.session.get_inputs()]
        self.output_names = [value.name for value in self.session.get_outputs()]

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs once; ONNX Runtime returns when all outputs are computed."""
        return self.session.run(None, self._named(feeds))

    def operators(self, feeds: Sequence[np.ndarray], runs: int) -> list[OperatorTime]:
        """Median kernel time of each node over `runs` runs after one that is left out, added up by operator type."""
        with tempfile.TemporaryDirectory() as folder:
            profiled = _open_session(self.path, self.threads, profile_prefix=str(Path(folder) / "ort"))
            for _ in range(runs + 1):
                profiled.run(None, self._named(feeds))
            events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
        return sum_node_times(events)

    def _named(self, feeds: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return {spec.name: array for spec, array in zip(self.inputs, feeds)}


def sum_node_times(events: list[dict[str, Any]]) -> list[OperatorTime]:
    """Rows by operator type from the events of ONNX Runtime's profiler (durations in microseconds)."""
    durations: NodeTimes = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            durations[event["args"]["op_name"], event["name"]].append(event["dur"] / 1000)  # us -> ms
    return median_times(durations)


def _open_session(path: Path, threads: int, profile_prefix: str | None = None):
    runtime = ONNXRUNTIME.load()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only
    if profile_prefix:
        options.enable_profiling, options.profile_file_prefix = True, profile_prefix
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _spec(value) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else None for axis in value.shape)
    if value.type not in DTYPES:
        raise RuntimeUnavailableError(f"input '{value.name}' has type {value.type}; known: {', '.join(DTYPES)}")
    return TensorSpec(name=value.name, shape=shape, dtype=DTYPES[value.type])
