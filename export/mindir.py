"""Writing MindIR: compiled in evaluation mode, read back by `mindspore.load`, and with a free batch axis where that stays plain."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor, nn

from msnoah.atomic_file import replacing
from msnoah.errors import ConversionError, describe_failure
from msnoah.export.mindir_file import MindirFile

_REPORT_FOLDER = "MS_OM_PATH"


def write_mindir(cell: nn.Cell, inputs: Sequence[np.ndarray | Tensor], path: str | Path) -> None:
    """Writes a Cell as a MindIR file, whole or not at all, under exactly the name given.

    Args:
        cell: what to write; compiled in evaluation mode and left in the modes that its parts were in.
        inputs: one array or Tensor for each argument of `construct`; shapes and types count, values do not.
        path: the file; an earlier one is kept if anything fails.

    Raises:
        ConversionError: MindSpore cannot compile the Cell for these inputs.
        RunFolderError: the file cannot be written.
    """
    contents = mindir_bytes(cell, inputs)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(contents)


def mindir_bytes(cell: nn.Cell, inputs: Sequence[np.ndarray | Tensor]) -> bytes:
    """The contents of the MindIR file that `write_mindir` writes; ConversionError if MindSpore cannot compile the Cell."""
    with temporary_mindir(cell, inputs) as path:
        if not path.is_file():
            raise ConversionError(f"{type(cell).__name__} is over 1 GB, which MindSpore splits into several files; export a smaller model")
        return path.read_bytes()


@contextmanager
def temporary_mindir(cell: nn.Cell, inputs: Sequence[np.ndarray | Tensor]) -> Iterator[Path]:
    """A Cell as a MindIR file that is gone when the block ends; above 1 GB MindSpore splits it (see `MindirFile`).

    Args:
        cell: what to write; compiled in evaluation mode and left in the modes that its parts were in.
        inputs: one array or Tensor for each argument of `construct`; shapes and types count, values do not.

    Raises:
        ConversionError: MindSpore cannot compile the Cell for these inputs.
    """
    tensors = [Tensor(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value for value in inputs]
    with tempfile.TemporaryDirectory(prefix="msnoah-") as folder, _failure_reports_in(folder), evaluating(cell):
        path = Path(folder) / "model.mindir"
        try:
            mindspore.export(cell, *tensors, file_name=str(path), file_format="MINDIR")
        except Exception as error:  # the compiler passes on whatever it meets: TypeError, NameError, RuntimeError ...
            raise ConversionError(
                f"MindSpore cannot compile {type(cell).__name__} to a graph: {describe_failure(error)}") from error
        yield path


def batch_free_mindir_bytes(cell: nn.Cell, image_shape: Sequence[int]) -> tuple[bytes, int | None]:
    """MindIR of a Cell with one float32 input (batch, *image_shape), and its batch: None where any size runs, else 1.

    With an unknown batch, MindSpore loses the rank behind some layers and compiles checks and branches into the graph,
    which other readers of MindIR do not take. Such a graph is left and the model written for single images.
    """
    try:
        contents = mindir_bytes(cell, [Tensor(shape=[None, *image_shape], dtype=mindspore.float32)])
    except ConversionError:
        contents = None
    if contents is not None and _is_plain(contents):
        return contents, None
    return mindir_bytes(cell, [np.zeros((1, *image_shape), np.float32)]), 1


def count_primitives(contents: bytes) -> dict[str, int]:
    """How often a MindIR file uses each primitive, the most frequent first; loads and other bookkeeping are left out."""
    model = MindirFile(contents).model
    kinds = {f"REF::{primitive.name}": primitive.op_type for primitive in model.primitives}
    nodes = (node.op_type for graph in (model.graph, *model.functions) for node in graph.node)
    counted = Counter(kinds[kind] for kind in nodes if kind in kinds)
    return {name: count for name, count in counted.most_common() if name not in ("Load", "UpdateState", "Depend")}


@contextmanager
def evaluating(cell: nn.Cell) -> Iterator[None]:
    """Evaluation mode for a Cell and all its parts; afterwards each is in the mode that it was in."""
    modes = [(part, part.training) for _, part in cell.cells_and_names()]
    cell.set_train(False)
    try:
        yield
    finally:
        for part, training in modes:  # parents come first, so a part's own mode wins
            part.set_train(training)


@contextmanager
def _failure_reports_in(folder: str) -> Iterator[None]:
    """MindSpore writes rank_0/om/analyze_fail.ir when it cannot compile: there, not into the working directory."""
    before = os.environ.get(_REPORT_FOLDER)
    os.environ[_REPORT_FOLDER] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[_REPORT_FOLDER]
        else:
            os.environ[_REPORT_FOLDER] = before


def _is_plain(contents: bytes) -> bool:
    model = MindirFile(contents).model
    shapes = [list(output.tensor[0].dims) if output.tensor else [] for output in model.graph.output]
    return not model.functions and all(shape[:1] == [-1] and min(shape[1:], default=0) >= 0 for shape in shapes)
