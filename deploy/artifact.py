"""An exported file and what is known of it: hash, size, precision, whether it was verified.

Plain dataclasses: the processes that measure import this module, on boards too, where there may be no more than numpy.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EXPORTED = ("mindir", "onnx")
"""Kinds that `msnoah export` writes."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and numpy dtype of an input; a None in the shape is an axis that the caller chooses."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "TensorSpec":
        """From what JSON has of it."""
        return cls(record["name"], tuple(record["shape"]), record["dtype"])


@dataclass(frozen=True)
class Artifact:
    """One exported file. `verified` is None where no export.json speaks of it; `batch` is None where it is free.

    Where weights lie in a file beside it, `sha256` is of both (`combined_hash`), and `size_bytes` counts its weights.
    """

    path: Path
    kind: str  # "onnx", "mindir" or "tflite"
    model: str
    sha256: str
    size_bytes: int
    precision: str
    verified: bool | None = None
    max_rel: float | None = None
    batch: int | None = None
    inputs: tuple[TensorSpec, ...] = ()  # as export.json has them; a runtime that reads its own ignores them

    def to_record(self) -> dict[str, Any]:
        """All fields as what json can write."""
        return {**asdict(self), "path": str(self.path)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Artifact":
        """From what `to_record` gave."""
        inputs = tuple(map(TensorSpec.from_record, record["inputs"]))
        return cls(**{**record, "path": Path(record["path"]), "inputs": inputs})
