"""MindSpore on the CPU in graph mode: a MindIR loaded into a GraphCell, the way a server would run it."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.runtimes.base import NodeKey, NodeTimes, OperatorTime, Origin, median_times
from msnoah.deploy.runtimes.requirement import Requirement

CAN_PIN = hasattr(os, "sched_setaffinity")
MINDSPORE = Requirement("mindspore", "mindspore", "pip install mindspore")


class MindSporeRuntime:
    """Runs .mindir files.

    MindSpore 2.10 has no setting that keeps its kernels to n threads: OMP_NUM_THREADS, op_tuning.threads_num and
    runtime_num_threads were all tried and left two cores busy. So the process is pinned to n cores before the import.
    """

    name = "mindspore"
    kinds = ("mindir",)
    thread_control = "process pinned to as many cores" if CAN_PIN else "not kept: this system cannot pin a process"
    requirements = (MINDSPORE,)
    purpose = "MindIR in graph mode; the reference of every parity figure"
    operator_times = True

    def prepare(self, threads: int) -> None:
        """Pins this process, and so every thread that it will start, to `threads` cores."""
        if CAN_PIN:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])

    def version(self) -> str:
        """The installed version of mindspore."""
        return MINDSPORE.version()

    def convert(self, artifact: Artifact, batch: int) -> Artifact:
        """The artifact itself: it is what this runtime reads."""
        return artifact

    def load(self, artifact: Artifact, threads: int) -> "MindSporeSession":
        """Loads the graph; MindSpore compiles it in the first run."""
        return MindSporeSession(artifact)


class MindSporeSession:
    """A GraphCell; its inputs are those of export.json, at the batch that the MindIR was compiled for."""

    def __init__(self, artifact: Artifact):
        mindspore = MINDSPORE.load()
        mindspore.set_device("CPU")
        mindspore.set_context(mode=mindspore.GRAPH_MODE)
        self.tensor = mindspore.Tensor
        self.cell = mindspore.nn.GraphCell(mindspore.load(str(artifact.path)))
        self.inputs = [_with_batch(spec, artifact.batch) for spec in artifact.inputs]

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs once; asnumpy waits until the outputs are computed."""
        outputs = self.cell(*(self.tensor(feed) for feed in feeds))
        outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
        return [output.asnumpy() for output in outputs]

    def operators(self, feeds: Sequence[np.ndarray], runs: int) -> list[OperatorTime]:
        """Kernel time of each node over `runs` runs after one that is left out, from MindSpore's profiler.

        Nodes of a MindIR that was loaded are named by primitive and number (`Default/MatMul-op3`).
        """
        mindspore = MINDSPORE.load()
        with tempfile.TemporaryDirectory() as folder:
            profiler = mindspore.Profiler(output_path=folder)
            for _ in range(runs + 1):
                self.run(feeds)
            profiler.analyse()
            tables = sorted(Path(folder).glob("**/cpu_op_execute_timestamp_*.txt"))
            durations = read_node_times(line for table in tables for line in table.read_text("utf-8").splitlines())
        return median_times(durations, runs + 1, {key: trace_origin(key.node) for key in durations})


def read_node_times(lines: Iterable[str]) -> NodeTimes:
    """Milliseconds of each node, in running order, from `NAME;KIND;start,ms,process start,ms,process ...` a line."""
    started: dict[NodeKey, float] = {}
    durations: dict[NodeKey, list[float]] = {}
    for line in lines:
        name, _, calls = line.split(";", 2)
        key = NodeKey(name.rpartition("/")[2].rpartition("-op")[0] or name, name)
        records = [call.split(",") for call in calls.split()]
        started[key] = min(float(record[0]) for record in records)
        durations[key] = [float(record[1]) for record in records]
    return {key: durations[key] for key in sorted(durations, key=started.__getitem__)}


def trace_origin(name: str) -> Origin:
    """The node of the file that one of the compiled graph stands for, as msnoah.deploy.mindir_facts names it.

    What a primitive was expanded to has the primitive's name before its own: `Expand/_SumExt/ReduceSum-op3`.
    """
    *scope, node = name.split("/")
    primitive = scope[-1].removeprefix("_") if scope[:1] == ["Expand"] else node.rpartition("-op")[0]
    return Origin((f"{primitive}-op{node.rpartition('-op')[2]}",))


def _with_batch(spec: TensorSpec, batch: int | None) -> TensorSpec:
    return spec if batch is None else replace(spec, shape=(batch, *spec.shape[1:]))
