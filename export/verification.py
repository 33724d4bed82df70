"""The same inputs through a model and through each artifact made from it: the largest difference, by artifact, batch and output."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from msnoah.errors import VerificationError

Arrays = list[np.ndarray]
Predict = Callable[[Arrays], Arrays]
"""From inputs to outputs, each (N, ...), in the model's order."""


@dataclass(frozen=True)
class Check:
    """One output of one artifact at one batch size. max_rel = max|difference| / max|reference|; infinite where one is not finite."""

    artifact: str
    batch: int
    output: str
    max_abs: float
    max_rel: float
    passed: bool

    def to_record(self) -> dict[str, Any]:
        """The check as export.json holds it."""
        return asdict(self)


def verify(
    reference: Predict, artifacts: dict[str, Predict], batches: Iterable[Arrays], *, outputs: Sequence[str], tolerance: float,
) -> list[Check]:
    """Compares artifacts with the model that they were made from.

    Args:
        reference: the trained model, not the fused one, so that fusing is under test too.
        artifacts: name -> how to run it.
        batches: the inputs of each batch, arrays (N, ...).
        outputs: names of the outputs, in order.
        tolerance: the largest relative difference that passes.

    Returns:
        One Check for each batch, artifact and output.
    """
    checks = []
    for inputs in batches:
        expected = reference(inputs)
        for artifact, predict in artifacts.items():
            found = predict(inputs)
            if not len(found) == len(expected) == len(outputs):
                counts = f"{len(found)} outputs, the model {len(expected)}, named are {len(outputs)}"
                raise VerificationError(f"{artifact} has {counts}; they must be the same")
            for output, ours, theirs in zip(outputs, found, expected):
                checks.append(Check(artifact, _count_rows(inputs), output, *_compare(ours, theirs, tolerance)))
    return checks


def require_passed(checks: Iterable[Check], tolerance: float) -> None:
    """VerificationError, with the worst figure and where it was found, unless every check passed."""
    failed = [check for check in checks if not check.passed]
    if failed:
        worst = max(failed, key=lambda check: check.max_rel)
        where = f"in output '{worst.output}' at batch {worst.batch}; the artifacts are written, marked as not verified"
        if np.isinf(worst.max_rel):
            raise VerificationError(f"{worst.artifact}, or the trained model, gives NaN, infinity or another shape {where}")
        figures = f"by {worst.max_rel:.2e} relative ({worst.max_abs:.2e} absolute; the tolerance is {tolerance:.0e})"
        raise VerificationError(f"{worst.artifact} differs from the trained model {figures} {where}")


def run_onnx(model: onnx.ModelProto | bytes | Path, threads: int = 0) -> Predict:
    """How to run an ONNX model, or a file by its path: in ONNX Runtime on the CPU, with a thread a core if it is 0."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, threads
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return run_session(onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"]))


def run_session(session: onnxruntime.InferenceSession) -> Predict:
    """How to run what ONNX Runtime has loaded."""
    names = [value.name for value in session.get_inputs()]
    return lambda inputs: session.run(None, dict(zip(names, inputs, strict=True)))


def _count_rows(inputs: Arrays) -> int:
    return len(inputs[0]) if inputs and inputs[0].ndim else 1


def _compare(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> tuple[float, float, bool]:
    """max_abs, max_rel, passed."""
    difference, relative = measure_difference(ours, theirs)
    return difference, relative, relative <= tolerance


def measure_difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """max|difference|, and that over max|theirs|; infinite where a shape differs or a number is not finite."""
    if ours.shape != theirs.shape or not np.isfinite(ours).all() or not np.isfinite(theirs).all():
        return float("inf"), float("inf")
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    difference, size = np.abs(ours - theirs).max(initial=0.0), np.abs(theirs).max(initial=0.0)
    return float(difference), float(difference / size if size else float("inf") if difference else 0.0)
