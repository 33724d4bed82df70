"""Weights by name from and to the files of several programs, without MindSpore."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from msnoah.errors import CheckpointError
from msnoah.mindspore_checkpoint import write_mindspore_checkpoint
from msnoah.safetensors_checkpoint import read_safetensors, write_safetensors
from msnoah.state_file import read_arrays_and_metadata
from msnoah.torch_checkpoint import is_torch_checkpoint, read_torch_checkpoint

WRITERS: dict[str, Callable[[Path, Mapping[str, np.ndarray]], None]] = {
    ".ckpt": write_mindspore_checkpoint, ".safetensors": write_safetensors,
}
"""What is written, by suffix; .pth files are only read, since their objects are Python's."""


def convert_weights(source: Path, target: Path) -> dict[str, np.ndarray]:
    """Writes the arrays of one file into another, by its suffix, and reads them back to compare; gives the arrays.

    Names and shapes stay: a model translates published names when it loads them. Metadata of training states is left
    out, and bfloat16 becomes float32.

    Raises:
        CheckpointError: a source that cannot be read or is damaged, an unknown suffix, an array that the target's
            format cannot hold, or a target that does not read back as it was written.
        RunFolderError: the target cannot be written; an earlier file is kept.
    """
    if target.suffix not in WRITERS:
        raise CheckpointError(f"{target}: expected a name that ends in {' or '.join(WRITERS)}")
    arrays = read_weights(source)
    WRITERS[target.suffix](target, arrays)
    written = read_weights(target)
    changed = [name for name in arrays if name not in written or not np.array_equal(
        written[name], arrays[name], equal_nan=arrays[name].dtype.kind == "f")]
    if changed or len(written) != len(arrays):
        raise CheckpointError(f"{target}: does not read back as it was written: {', '.join(changed[:3])}")
    return arrays


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .ckpt, .safetensors or .pth by name; which it is, its first bytes tell.

    Raises:
        CheckpointError: a file that cannot be read or is damaged.
    """
    start = _first_bytes(path)
    if is_torch_checkpoint(start):
        return read_torch_checkpoint(path)
    if start[8:9] == b"{":
        return read_safetensors(path)
    return read_arrays_and_metadata(path)[0]


def _first_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(512)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
