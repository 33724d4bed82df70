"""Latency estimated from public peaks: each operator takes the longer of its arithmetic and its traffic.

An estimate, never a measurement: its record says so, and it stands in no table of measured latencies. The model is the
roofline of Williams, Waterman and Patterson (2009), summed over the operators of a graph.
"""

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from msnoah.deploy.npu.facts import GraphFacts, OperatorFacts, TensorFacts
from msnoah.deploy.npu.rules import Dtype, Target

BITS: dict[Dtype, int] = {"float32": 32, "float16": 16, "int16": 16, "int8": 8, "int4": 4}
CONTROL_FLOW = ("If", "Loop", "Scan")
VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout")
ASSUMPTIONS = (
    "peak arithmetic and peak bandwidth, at a utilisation of 100 %",
    "no overhead of launches and none between the host and the NPU",
    "every operator reads its inputs and weights once from memory and writes its outputs once; none is fused",
    "operators without products (norms, activations, sums) cost their traffic alone; reshapes cost nothing",
    "all operators run on the NPU, also those that the rules put on the CPU or do not know",
)


class OperatorBound(BaseModel):
    """All operators of one kind: multiply-accumulates, bytes, and milliseconds a run under the assumptions."""

    model_config = ConfigDict(frozen=True)

    operator: str
    count: int
    macs: int
    bytes: int
    ms: float
    memory_share: float  # of ms, in operators whose traffic takes longer than their arithmetic


class Estimate(BaseModel):
    """A latency estimate of a graph computed in one type. `kind` keeps it apart from a measurement wherever it goes."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["estimate"] = "estimate"
    target: str
    chip: str
    dtype: Dtype
    batch: int
    ms: float
    macs: int
    tops: float
    bandwidth_gb_s: float
    operators: tuple[OperatorBound, ...]
    assumptions: tuple[str, ...] = ASSUMPTIONS
    source: str


class Estimates(BaseModel):
    """One estimate for each type of which the peak is public; `reason` says why where there is none."""

    model_config = ConfigDict(frozen=True)

    estimates: tuple[Estimate, ...] = ()
    reason: str = ""

    def text(self) -> str:
        """The figures with their assumptions, each line marked as an estimate."""
        if not self.estimates:
            return f"  no estimate of latency: {self.reason}"
        first = self.estimates[0]
        lines = [f"  estimate, not measured: {e.ms:.3g} ms in {e.dtype} (from {e.tops:g} TOPS and {e.bandwidth_gb_s:g} "
                 f"GB/s of {e.chip}, batch {e.batch}); longest: {_longest(e)}" for e in self.estimates]
        lines += [f"    assumed: {assumption}" for assumption in first.assumptions]
        return "\n".join([*lines, f"    peaks: {first.source}"])


def estimate_latency(facts: GraphFacts, target: Target) -> Estimates:
    """The estimate for a target, in milliseconds a run at the batch of the facts.

    None where a peak is not public, a size of the graph is open, or a Loop or If runs who knows how often.
    """
    specification, source = target.specification, target.sources[target.specification.source].label()
    if not specification.tops or not specification.bandwidth_gb_s:
        return Estimates(reason=f"{specification.chip}: {specification.note or 'no public peaks'}")
    hindrance = next((_hindrance(operator) for operator in facts.operators if _hindrance(operator)), None)
    if hindrance:
        return Estimates(reason=hindrance)
    bandwidth = specification.bandwidth_gb_s
    estimates = []
    for dtype, tops in specification.tops.items():
        rows = _bound_kinds(facts.operators, dtype, tops, bandwidth)
        estimates.append(Estimate(
            target=target.name, chip=specification.chip, dtype=dtype, batch=facts.batch, ms=sum(row.ms for row in rows),
            macs=sum(row.macs for row in rows), tops=tops, bandwidth_gb_s=bandwidth, operators=rows, source=source))
    return Estimates(estimates=tuple(estimates))


def bound_ms(macs: int, size_bytes: float, tops: float, bandwidth_gb_s: float) -> tuple[float, float]:
    """Milliseconds that the arithmetic and the traffic take at their peaks; two operations a multiply-accumulate."""
    return 2 * macs / (tops * 1e12) * 1e3, size_bytes / (bandwidth_gb_s * 1e9) * 1e3


def count_bytes(operator: OperatorFacts, dtype: Dtype) -> int:
    """What an operator reads and writes if floating-point numbers take the bits of `dtype`; 0 of a mere reshape."""
    if operator.op_type in VIEWS:
        return 0
    return sum(_size_bytes(tensor, dtype) for tensor in (*operator.inputs, *operator.outputs))


def _size_bytes(tensor: TensorFacts, dtype: Dtype) -> int:
    import numpy as np

    floating = tensor.dtype.startswith(("float", "bfloat"))
    bits = BITS[dtype] if floating else np.dtype(tensor.dtype).itemsize * 8
    return math.ceil(math.prod(tensor.shape) * bits / 8)


def _hindrance(operator: OperatorFacts) -> str | None:
    if operator.op_type in CONTROL_FLOW:
        return f"how often {operator.op_type} '{operator.name}' runs its body is not known"
    tensors = (*operator.inputs, *operator.outputs)
    unknown = next((tensor.name for tensor in tensors if tensor.shape is None or tensor.dtype is None), None)
    if unknown:
        return f"the size of '{unknown}' of {operator.op_type} '{operator.name}' is open"
    return f"{operator.op_type} '{operator.name}' has no count" if operator.macs is None else None


def _bound_kinds(
    operators: Iterable[OperatorFacts], dtype: Dtype, tops: float, bandwidth_gb_s: float,
) -> tuple[OperatorBound, ...]:
    kinds: dict[str, list[tuple[int, int, float, float]]] = {}
    for operator in operators:
        size = count_bytes(operator, dtype)
        times = bound_ms(operator.macs, size, tops, bandwidth_gb_s)
        kinds.setdefault(operator.op_type, []).append((operator.macs, size, *times))
    rows = [_sum_up(name, entries) for name, entries in kinds.items()]
    return tuple(sorted(rows, key=lambda row: row.ms, reverse=True))


def _sum_up(name: str, entries: list[tuple[int, int, float, float]]) -> OperatorBound:
    total = sum(max(compute, memory) for _, _, compute, memory in entries)
    in_memory = sum(memory for _, _, compute, memory in entries if memory > compute)
    return OperatorBound(
        operator=name, count=len(entries), macs=sum(e[0] for e in entries), bytes=sum(e[1] for e in entries), ms=total,
        memory_share=in_memory / total if total else 0.0)


def _longest(estimate: Estimate) -> str:
    rows = estimate.operators[:3]
    return ", ".join(f"{row.operator} {row.ms:.3g} ms ({row.memory_share:.0%} by traffic)" for row in rows)
