"""How far a row's outputs are from the reference's on the same input, and from where on that says something."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from msnoah.deploy.measurement import largest_relative_difference
from msnoah.errors import ProfileError

if TYPE_CHECKING:
    from msnoah.deploy.rows import Row

REFERENCE = "mindspore"  # whose outputs the others are compared with, in float32
REFERENCE_PRECISION = "float32"


@dataclass(frozen=True)
class Limits:
    """Max relative difference above which a row's outputs differ, and above which no rounding explains it.

    None: nothing is said of it.
    """

    differs: float | None
    wrong: float


LIMITS = {
    # Sums in another order: 1e-6 to 1e-4. TensorFloat-32 and Winograd forms come near 1e-3.
    "float32": Limits(1e-3, 1e-2),
    "float64": Limits(1e-3, 1e-2),
    # 11 bits: 5e-4 a rounding, and some tens of layers that each round.
    "float16": Limits(2e-2, 1e-1),
    # 8 bits: 4e-3 a rounding.
    "bfloat16": Limits(1e-1, 5e-1),
    # A step of a range's 255th in each layer, and an input of noise that no calibration has seen: far off without the
    # answers being worse. Accuracy judges int8, not this figure; only an error as large as the outputs is no rounding.
    "int8": Limits(None, 1.0),
}
"""By the precision of the weights."""


class Parity(BaseModel):
    """How far the outputs on the measured input are from another runtime's: max |difference| / max |reference|."""

    model_config = ConfigDict(frozen=True)

    against: str
    max_rel: float

    def is_wrong(self, precision: str) -> bool:
        """Whether no rounding of this precision explains it: the runtime computes something else."""
        return not self.max_rel <= LIMITS.get(precision, LIMITS["float32"]).wrong

    def describe(self, precision: str) -> str | None:
        """What a reader must know of it, in words; None if it is as it should be."""
        differs = LIMITS.get(precision, LIMITS["float32"]).differs
        if self.is_wrong(precision):
            end = ": this runtime computes something else; its latency counts for nothing"
        elif differs is not None and self.max_rel > differs:
            end = ""
        else:
            return None
        return f"outputs differ from {self.against}'s by {self.max_rel:.1e} relative{end}"


def compare_outputs(rows: list["Row"], reference: "Row | None" = None) -> None:
    """Sets each row's parity with a reference, or a note that says why there is none.

    Args:
        rows: those that have outputs are compared.
        reference: a row with outputs on the same input, or the error that left it without; by itself the first of
            `rows` that REFERENCE ran in float32.
    """
    if reference is not None and reference.error is not None:
        for row in rows:
            _note(row, f"no parity: {reference.runtime} here: {reference.error}")
        return
    chosen = reference or next((row for row in rows if _is_reference(row) and row.outputs), None)
    for row in rows:
        if chosen is not None and row.outputs and (reference or not _is_reference(row)):
            try:
                _check_same_inputs(row, chosen)
                largest = largest_relative_difference(row.outputs, chosen.outputs)
                row.parity = Parity(against=_name_reference(row, chosen), max_rel=largest)
            except ProfileError as error:
                _note(row, f"no parity: {error}")


def _note(row: "Row", words: str) -> None:
    if words not in row.notes:
        row.notes.append(words)


def _is_reference(row: "Row") -> bool:
    return row.runtime == REFERENCE and (row.artifact is None or row.artifact.precision == REFERENCE_PRECISION)


def _name_reference(row: "Row", reference: "Row") -> str:
    lower = row.artifact is not None and row.artifact.precision != REFERENCE_PRECISION
    return f"{reference.runtime} {REFERENCE_PRECISION}" if lower else reference.runtime


def _check_same_inputs(row: "Row", reference: "Row") -> None:
    """Refuses to compare outputs of other inputs: one artifact may take raw images and the other normalised ones."""
    taken, expected = (
        [(spec["shape"][1:], spec["dtype"]) for spec in one.loaded["inputs"]] for one in (row, reference)
    )
    if taken != expected:
        raise ProfileError(f"{row.runtime} takes inputs {taken}, {reference.runtime} {expected}")
