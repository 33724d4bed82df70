"""How MindSpore answers: a Cell, or a MindIR file loaded back, as a function from arrays to arrays."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, nn

from msnoah.errors import RuntimeUnavailableError, describe_failure
from msnoah.export.mindir import evaluating
from msnoah.export.verification import Arrays, Predict


def run_cell(cell: nn.Cell) -> Predict:
    """How to run a Cell: in evaluation mode, whatever mode it is in; RuntimeUnavailableError where MindSpore fails."""

    def predict(inputs: Arrays) -> Arrays:
        with evaluating(cell):
            try:
                return _arrays(cell(*map(_tensor, inputs)))
            except (RuntimeError, TypeError, ValueError, AttributeError) as error:
                raise RuntimeUnavailableError(
                    f"MindSpore cannot run {type(cell).__name__} here, so that there is nothing to compare with: "
                    f"{describe_failure(error)}") from error

    return predict


def run_mindir(source: str | Path | bytes, batch: int | None, *, whole: Sequence[int] = ()) -> Predict:
    """How to run a MindIR: loaded back into MindSpore; in parts of `batch` rows where it was compiled for that many.

    Args:
        source: the file, or its contents.
        batch: rows of each part, None where any number runs. A last part that is shorter is filled up with its own
            rows, and what they give is cut off.
        whole: which inputs have no batch axis, by place; every part gets all of them.

    Raises:
        RuntimeUnavailableError: MindSpore refuses the file.
    """
    cell = _load(source)

    def run_part(inputs: Arrays, start: int, rows: int) -> Arrays:
        places = np.arange(start, start + rows)
        cut = [value if index in whole else value.take(places, 0, mode="wrap") for index, value in enumerate(inputs)]
        return _arrays(cell(*map(_tensor, cut)))

    def predict(inputs: Arrays) -> Arrays:
        total = next((len(value) for index, value in enumerate(inputs) if index not in whole), 0)
        if not batch or total == batch:
            return _arrays(cell(*map(_tensor, inputs)))
        parts = [run_part(inputs, start, batch) for start in range(0, total, batch)]
        return [np.concatenate(output)[:total] for output in zip(*parts, strict=True)]

    return predict


def _load(source: str | Path | bytes) -> nn.GraphCell:
    with tempfile.TemporaryDirectory(prefix="msnoah-") as folder:
        path = source
        if isinstance(source, bytes):
            path = Path(folder) / "model.mindir"
            path.write_bytes(source)
        try:
            return nn.GraphCell(mindspore.load(str(path)))
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            raise RuntimeUnavailableError(f"{path}: MindSpore cannot load it: {describe_failure(error)}") from None


def _tensor(values: np.ndarray) -> Tensor:
    return Tensor(np.ascontiguousarray(values))


def _arrays(outputs: Any) -> Arrays:
    if isinstance(outputs, (tuple, list)):
        return [array for output in outputs for array in _arrays(output)]
    return [outputs.asnumpy()]
