"""The pass over measured rows that asks for times by operator and sets them beside the graph of the artifact."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.calibration import Peaks
from msnoah.deploy.npu.facts import GraphFacts, read_facts
from msnoah.deploy.operator_mapping import map_to_graph
from msnoah.deploy.rows import Row
from msnoah.deploy.runtimes.base import OperatorTime
from msnoah.errors import MsnoahError


@dataclass
class OperatorPass:
    """Takes times by operator of one row after another; graphs are read once, peaks measured once a thread count.

    Attributes:
        runs: of the profiled pass.
        batch_size: what sizes of the graph are counted at.
        peaks: whether to measure what the machine can do, which takes a few seconds for each device and thread count.
    """

    runs: int
    batch_size: int
    peaks: bool = False
    graphs: dict[Path, GraphFacts | str] = field(default_factory=dict)
    measured: dict[tuple[str, int], Peaks] = field(default_factory=dict)

    def take(self, row: Row) -> None:
        """Sets `operators` and `peaks` of a row whose worker is loaded; what is missing becomes a note on them.

        Raises:
            MsnoahError: the worker fails in its profiler.
        """
        row.operators = row.worker.operators(self.runs)
        if any(time.node for time in row.operators):
            self._map(row)
            if self.peaks:
                self._measure(row)

    def _map(self, row: Row) -> None:
        graph = self._read(row.artifact)
        if isinstance(graph, str):
            row.operator_notes.append(f"operators without modules: {graph}")
        else:
            row.operators = map_to_graph(with_counted_names(row.operators, graph), graph)

    def _read(self, artifact: Artifact) -> GraphFacts | str:
        if artifact.path not in self.graphs:
            try:
                self.graphs[artifact.path] = _reader(artifact.kind)(artifact.path, self.batch_size)
            except MsnoahError as error:
                self.graphs[artifact.path] = str(error)
        return self.graphs[artifact.path]

    def _measure(self, row: Row) -> None:
        key = (row.device_name, row.threads)
        try:
            if key not in self.measured:
                self.measured[key] = row.worker.peaks(row.threads)
            row.peaks = self.measured[key]
        except MsnoahError as error:
            row.operator_notes.append(f"no peaks, so no roofline: {error}")


def _reader(kind: str) -> Callable[[Path, int], GraphFacts]:
    return _read_mindir if kind == "mindir" else read_facts


def _read_mindir(path: Path, _batch_size: int) -> GraphFacts:
    from msnoah.deploy.mindir_facts import read_mindir_facts

    return read_mindir_facts(path)


def with_counted_names(rows: Sequence[OperatorTime], graph: GraphFacts) -> list[OperatorTime]:
    """The rows without the sources of kinds that a MindIR has another number of than the runtime ran.

    There nodes have numbers for names, which say something only if none was added or left out. Other graphs' names
    stand.
    """
    if graph.opset:
        return list(rows)
    kept = Counter(operator.op_type for operator in graph.operators)
    ran = Counter(_primitive(row) for row in rows)
    return [row if ran[_primitive(row)] == kept[_primitive(row)] else replace(row, sources=()) for row in rows]


def _primitive(row: OperatorTime) -> str:
    return row.sources[0].rpartition("-op")[0] if row.sources else ""
