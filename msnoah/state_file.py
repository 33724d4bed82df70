"""Training states on disk: arrays by name with JSON-able metadata, as a .ckpt that MindSpore reads too."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from msnoah.errors import CheckpointError
from msnoah.mindspore_checkpoint import read_first_array, read_mindspore_checkpoint, write_mindspore_checkpoint

_METADATA = "msnoah.metadata"  # JSON in UTF-8, one uint8 an array element, so that MindSpore reads the file too


def save_state(path: str | PathLike, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
    """Writes arrays by name as a .ckpt: a model's weights under their own names, the rest as optimizer.* and ema.*.

    Raises:
        RunFolderError: the system refused to write; the earlier file is kept.
    """
    described = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    # First in the file: a file that was cut short still says that it once had a checksum.
    write_mindspore_checkpoint(path, {_METADATA: described, **arrays})


def read_state(path: str | PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata that save_state or save_weights wrote, in the same bits.

    Raises:
        CheckpointError: a file that cannot be read, is damaged or was not written by msnoah.
    """
    arrays, metadata = read_arrays_and_metadata(Path(path))
    if metadata is None:
        raise _without_metadata(path)
    return arrays, metadata


def read_metadata(path: str | PathLike) -> dict[str, Any]:
    """The metadata alone, from the head of the file; whether the rest of it is whole only `read_state` says.

    Raises:
        CheckpointError: a file that cannot be read, does not begin as a .ckpt or was not written by msnoah.
    """
    name, described = read_first_array(path)
    if name != _METADATA:
        raise _without_metadata(path)
    try:
        return json.loads(described.tobytes())
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged: its metadata is no JSON ({error})") from error


def read_arrays_and_metadata(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """The arrays of any .ckpt, and the metadata if msnoah wrote it.

    Raises:
        CheckpointError: a file that cannot be read or is damaged.
    """
    arrays, checked = read_mindspore_checkpoint(path)
    described = arrays.pop(_METADATA, None)
    if described is None:
        return arrays, None
    if not checked:
        raise CheckpointError(f"{path}: cut short: the checksum at its end is not there")
    return arrays, json.loads(described.tobytes())


def _without_metadata(path: str | PathLike) -> CheckpointError:
    return CheckpointError(f"{path}: a .ckpt that msnoah did not write; it has weights but no training state")
