"""OpenVINO on the CPU: float32 arithmetic, one stream of as many threads as are asked for, at a fixed batch."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.runtimes.base import NodeKey, OperatorTime, Origin, median_times
from msnoah.deploy.runtimes.onnx_wiring import WiredNode, read_wiring
from msnoah.deploy.runtimes.requirement import Requirement
from msnoah.errors import ProfileError

OPENVINO = Requirement("openvino", "openvino", "pip install openvino")


class OpenVinoRuntime:
    """Runs .onnx files as they are."""

    name = "openvino"
    kinds = ("onnx",)
    thread_control = "threads of the compiled model, one stream, not pinned"
    requirements = (OPENVINO,)
    purpose = "ONNX on x86 processors"
    operator_times = True

    def prepare(self, threads: int) -> None:
        """Takes back the cap on oneDNN that msnoah sets for MindSpore: OpenVINO has oneDNN too, and crashes under it.

        The compiled model takes the number of threads.
        """
        if os.environ.pop("MSNOAH_CAPS_ONEDNN", None):
            os.environ.pop("ONEDNN_MAX_CPU_ISA", None)

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
        """Time of each node that ran over `runs` runs after one that is left out.

        Nodes are those of the compiled graph: fused ones are not in it, changes of layout (Reorder) are. A node's time
        is a whole number of microseconds.
        """
        compiled = _compile(*self.source, profiled=True)
        request = compiled.create_infer_request()
        durations: dict[NodeKey, list[float]] = defaultdict(list)
        for _ in range(runs + 1):
            request.infer(list(feeds))
            for node in request.profiling_info:
                if node.status == node.Status.EXECUTED:
                    durations[NodeKey(node.node_type, node.node_name)].append(node.real_time.total_seconds() * 1e3)
        origins = trace_origins(_read_compiled(compiled.get_runtime_model()), read_wiring(self.source[0]))
        return median_times(durations, runs + 1, {key: origins.get(key.node, Origin()) for key in durations})


class CompiledNode(NamedTuple):
    """A node of the compiled graph: its name, the nodes of the artifact in it, and the nodes whose outputs it reads."""

    name: str
    originals: tuple[str, ...]
    read: tuple[str, ...]


def trace_origins(nodes: Sequence[CompiledNode], original: Sequence[WiredNode]) -> dict[str, Origin]:
    """What each node of the compiled graph stands for in the artifact, by its name.

    What OpenVINO has added for an operator has that one's name and a slash (`NAME/transpose_b`) and stands beside it;
    what it has added by itself stands beside what it reads.
    """
    kept = {name for node in original for name in (node.name, *node.inputs, *node.outputs) if name}
    exact = {node.name: _select(node.originals, kept) for node in nodes}
    served = {node.name: _select([name.rpartition("/")[0] for name in node.originals], kept) for node in nodes}
    compiled, named = {node.name: node for node in nodes}, {name: exact[name] or served[name] for name in exact}
    return {name: Origin(exact[name] or _trace(name, compiled, named), auxiliary=not exact[name]) for name in exact}


def _select(names: Sequence[str], kept: set[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name in kept))


def _trace(name: str, compiled: dict[str, CompiledNode], named: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The originals of the nearest node that has some, going up the first inputs."""
    while name in compiled and not named[name]:
        name = next(iter(compiled[name].read), "")
    return named.get(name, ())


def _read_compiled(model) -> list[CompiledNode]:
    nodes = []
    for node in model.get_ordered_ops():
        originals = str(node.get_rt_info()["originalLayersNames"].value) if node.get_rt_info() else ""
        read = tuple(port.get_source_output().get_node().friendly_name for port in node.inputs())
        nodes.append(CompiledNode(node.friendly_name, tuple(filter(None, originals.split(","))), read))
    return nodes


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
