"""ONNX Runtime on the CPU: sequential execution, all graph optimisations, one pool of `threads` threads."""

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.runtimes.base import NodeKey, NodeTimes, OperatorTime, Origin, median_times
from msnoah.deploy.runtimes.onnx_wiring import WiredNode, read_wiring
from msnoah.deploy.runtimes.product_model import write_product
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

KERNEL = "_kernel_time"  # ends the name of an event that times a node
LAYOUT_KINDS = ("ReorderInput", "ReorderOutput")
ADDED = re.compile(r"(_nchwc|/\w*Fusion/?)+$")  # what the optimiser appends to a node's name

ONNXRUNTIME = Requirement("onnxruntime", "onnxruntime", "pip install onnxruntime")


class OnnxRuntime:
    """Runs .onnx files."""

    name = "onnxruntime"
    kinds = ("onnx",)
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
        """Kernel time of each node of the optimised graph over `runs` runs after one that is left out."""
        with tempfile.TemporaryDirectory() as folder:
            optimised = Path(folder) / "optimised.onnx"
            profiled = _open_session(
                self.path, self.threads, profile_prefix=str(Path(folder) / "ort"), optimised_path=optimised)
            for _ in range(runs + 1):
                profiled.run(None, self._named(feeds))
            events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
            origins = trace_origins(read_wiring(optimised), read_wiring(self.path))
        durations = read_node_times(events)
        return median_times(durations, runs + 1, {key: origins.get(key.node, Origin()) for key in durations})

    def _named(self, feeds: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return {spec.name: array for spec, array in zip(self.inputs, feeds)}


def read_node_times(events: list[dict[str, Any]]) -> NodeTimes:
    """Milliseconds of each node from the events of ONNX Runtime's profiler (durations in microseconds)."""
    durations: dict[NodeKey, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            arguments = event["args"]
            key = NodeKey(arguments["op_name"], event["name"].removesuffix(KERNEL), int(arguments["node_index"]))
            durations[key].append(event["dur"] / 1000)  # us -> ms
    return durations


def trace_origins(optimised: Sequence[WiredNode], original: Sequence[WiredNode]) -> dict[str, Origin]:
    """What each node of the optimised graph stands for in the original one, by its name.

    The optimiser keeps the names of most values, so what a node writes says what it computes; in its blocked layout
    values have names of its own, and the node's name says it (`NAME_nchwc`). A change of layout, or what else the
    optimiser has added, stands beside what it reads.
    """
    kept = {name for node in original for name in (node.name, *node.inputs, *node.outputs) if name}
    plain = {node.inputs[0]: node.outputs[0] for node in optimised if node.kind == "ReorderOutput"}
    writers = {value: node for node in optimised for value in node.outputs}
    origins = {}
    for node in optimised:
        written = [plain.get(value, value) for value in node.outputs]
        names = tuple(name for name in (*written, ADDED.sub("", node.name)) if name in kept)
        sources = tuple(dict.fromkeys(names)) or _list_read(node, kept, writers)
        origins[node.name] = Origin(sources, auxiliary=not names or node.kind in LAYOUT_KINDS)
    return origins


def _list_read(node: WiredNode, kept: set[str], writers: dict[str, WiredNode]) -> tuple[str, ...]:
    """What is known of a node's inputs: the values, else what the names of their writers say, else what those read."""
    for value in filter(None, node.inputs):
        if value in kept:
            return (value,)
        if value in writers:
            writer = ADDED.sub("", writers[value].name)
            return (writer,) if writer in kept else _list_read(writers[value], kept, writers)
    return ()


def open_product(size: int) -> Callable[[], object] | None:
    """A call that multiplies two float32 matrices of `size` rows and columns in one thread; None where it is missing.

    What calibration measures the peak with: ONNX Runtime's products are faster than numpy's on some processors.
    """
    try:
        runtime = ONNXRUNTIME.load()
    except RuntimeUnavailableError:
        return None
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(write_product(size), options, providers=["CPUExecutionProvider"])
    feeds = {"x": np.ones((size, size), np.float32)}
    return lambda: session.run(None, feeds)


def _open_session(path: Path, threads: int, profile_prefix: str = "", optimised_path: Path | None = None):
    runtime = ONNXRUNTIME.load()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only
    if profile_prefix:
        options.enable_profiling, options.profile_file_prefix = True, profile_prefix
    if optimised_path:
        options.optimized_model_filepath = str(optimised_path)
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _spec(value) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else None for axis in value.shape)
    if value.type not in DTYPES:
        raise RuntimeUnavailableError(f"input '{value.name}' has type {value.type}; known: {', '.join(DTYPES)}")
    return TensorSpec(name=value.name, shape=shape, dtype=DTYPES[value.type])
