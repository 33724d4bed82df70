"""A MindIR file and an ONNX file on the same inputs: MindSpore's answers beside ONNX Runtime's."""

import importlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from msnoah.errors import ConversionError, RuntimeUnavailableError, VerificationError, describe_failure
from msnoah.export.file_pair import INTEGERS, FilePair
from msnoah.export.verification import Arrays, Check, Predict, measure_difference, verify


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        checks: one for each batch and output; `artifact` is "onnx".
        shapes: of each output, by name; a free axis is its name.
        noise: how far each ONNX output moves, relative to its largest element, when every float input moves by one
            unit in the last place. What differs by little more than that differs by rounding.
        tolerance: largest relative difference that passes.
        inputs: where they are from, in words.
    """

    checks: list[Check]
    shapes: dict[str, list[int | str]]
    noise: dict[str, float]
    tolerance: float
    inputs: str

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "passed": self.passed, "tolerance": self.tolerance, "inputs": self.inputs, "noise": self.noise,
            "checks": [check.to_record() for check in self.checks],
        }

    def table(self) -> str:
        """One row for each output with its worst batch, then the verdict."""
        rows = [("output", "shape", "max abs", "max rel", "noise", "verdict")]
        for name, shape in self.shapes.items():
            worst = max((check for check in self.checks if check.output == name), key=lambda check: check.max_rel)
            figures = [f"{number:.1e}" for number in (worst.max_abs, worst.max_rel, self.noise[name])]
            verdict = "same" if all(check.passed for check in self.checks if check.output == name) else "DIFFERENT"
            rows.append((name, str(shape).replace("'", ""), *figures, verdict))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        batches = ", ".join(str(batch) for batch in dict.fromkeys(check.batch for check in self.checks))
        verdict = "verified" if self.passed else "NOT verified"
        return "\n".join([*lines, f"{verdict} on {self.inputs}, batch {batches} (tolerance {self.tolerance:.0e})"])

    def check(self) -> None:
        """VerificationError unless every check passed."""
        failed = [check for check in self.checks if not check.passed]
        if not failed:
            return
        worst = max(failed, key=lambda check: check.max_rel)
        where = f"output '{worst.output}' at batch {worst.batch}"
        if np.isinf(worst.max_rel):
            raise VerificationError(
                f"{where} is NaN, infinite or of another shape in one of the two; give inputs that the network is made "
                "for")
        raise VerificationError(
            f"{where} differs by {worst.max_rel:.1e} relative, {worst.max_abs:.1e} absolute (the tolerance is "
            f"{self.tolerance:.0e}; one unit in the last place of the inputs moves it by "
            f"{self.noise[worst.output]:.1e})")


def verify_onnx(
    mindir: str | Path, onnx: str | Path, *, inputs: Mapping[str, np.ndarray] | None = None,
    batches: Sequence[int] | None = None, tolerance: float = 1e-5, seed: int = 0, integers: tuple[int, int] = INTEGERS,
) -> Comparison:
    """Runs both files on the same inputs and compares every output.

    Args:
        mindir: what the ONNX file was made from; of static shapes. It runs in parts where more rows are compared than
            it was exported for.
        onnx: the ONNX file.
        inputs: arrays by the names of the ONNX inputs; random by default, normal for floats.
        batches: numbers of rows; by default 1, 2 and 5 if the ONNX graph takes any, else the one it takes.
        tolerance: largest difference, relative to the largest element of the output, that passes.
        seed: of the random inputs.
        integers: random integers lie from the first up to, not including, the second.

    Raises:
        ConversionError: a file that cannot be read, or the two do not have the same inputs; inputs that do not fit.
        RuntimeUnavailableError: MindSpore is not installed, or a runtime refuses its file.
    """
    pair, rng = FilePair(Path(mindir), Path(onnx)), np.random.default_rng(seed)
    reference = _import_reference()
    sets = [pair.order(inputs)] if inputs is not None else [
        pair.draw(batch, rng, integers) for batch in pair.choose_batches(batches)]
    run_mindir = pair.adapt(reference.run_mindir(Path(mindir), pair.batch, whole=pair.whole))
    try:
        checks = verify(run_mindir, {"onnx": pair.run_onnx}, sets, outputs=list(pair.outputs), tolerance=tolerance)
        noise = dict(zip(pair.outputs, _measure_noise(pair.run_onnx, sets[-1], rng), strict=True))
    except RuntimeError as error:
        raise RuntimeUnavailableError(f"{mindir} and {onnx} cannot be run: {describe_failure(error)}") from None
    origin = "given inputs" if inputs is not None else f"random inputs (seed {seed})"
    return Comparison(checks, pair.outputs, noise, tolerance, origin)


def read_inputs(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; ConversionError if it is none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "no .npz file of plain arrays"
        raise ConversionError(f"{path}: cannot be read: {reason}; expected what numpy.savez writes") from None


def _measure_noise(run_onnx: Predict, arrays: Arrays, rng: np.random.Generator) -> list[float]:
    """Largest change of each output, relative to its largest element, under one ulp of noise on every float input."""
    moved = [
        np.nextafter(a, rng.choice([-np.inf, np.inf], a.shape).astype(a.dtype)) if a.dtype.kind == "f" else a
        for a in arrays
    ]
    outputs = zip(run_onnx(moved), run_onnx(arrays), strict=True)
    return [measure_difference(changed, output)[1] for changed, output in outputs]


def _import_reference() -> ModuleType:
    try:
        return importlib.import_module("msnoah.export.reference_runs")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "mindspore":
            raise RuntimeUnavailableError(
                "MindSpore is not installed here, and the MindIR's answers come from it; pip install mindspore"
            ) from None
        raise
