"""last.ckpt: all that a resumed run goes on from, and the checks before it does."""

from typing import Any, NamedTuple

import numpy as np

from msnoah.config import RunConfig
from msnoah.errors import CheckpointError, ConfigError, TrainingError
from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state, save_state

# Keys whose change leaves the numbers of a run as they are, or (device, mode) within rounding of them.
FREE_KEYS = ("device", "export.", "profile.", "quantize.", "checkpoint.", "data.path", "data.workers",
             "data.classes", "train.eval_batch_size", "train.checkpoint_every_steps", "train.mode")


class SavedRun(NamedTuple):
    """What last.ckpt holds."""

    arrays: dict[str, np.ndarray]   # weights, moments and averages by name
    state: dict[str, Any]
    loss_scale: dict[str, float]
    config: dict[str, Any]


def find_saved_run(run: RunFolder, resume: bool) -> SavedRun | None:
    """What to go on from; None is a start from step 0, also right for a run killed before its first checkpoint.

    Raises:
        TrainingError: nothing to resume, or a run in the way of a new one.
        CheckpointError: last.ckpt is damaged or not one of a training run.
    """
    path, exists = run.last_checkpoint, run.last_checkpoint.is_file()
    if not resume and exists:
        raise TrainingError(f"{path}: a run lies there already; resume it, or take another folder")
    if resume and not exists and (run.history() or not run.config_path.is_file()):
        raise TrainingError(f"{path}: nothing to resume: no such checkpoint")
    for leftover in run.path.glob(".*.tmp"):   # a kill in the middle of writing
        leftover.unlink(missing_ok=True)
    return read_saved_run(run) if exists else None


def read_saved_run(run: RunFolder) -> SavedRun:
    """last.ckpt; CheckpointError if it is damaged or not one of a training run."""
    arrays, metadata = read_state(run.last_checkpoint)
    try:
        return SavedRun(arrays, metadata["state"], metadata["loss_scale"], metadata["config"])
    except KeyError as error:
        raise CheckpointError(f"{run.last_checkpoint}: lacks {error}, so it is no checkpoint to resume from") from None


def write_saved_run(run: RunFolder, saved: SavedRun) -> None:
    """Replaces last.ckpt as a whole; a kill leaves the earlier one."""
    metadata = {"state": saved.state, "loss_scale": saved.loss_scale, "config": saved.config}
    save_state(run.last_checkpoint, saved.arrays, metadata)


def check_same_run(saved: SavedRun, config: RunConfig, run: RunFolder) -> None:
    """ConfigError that names the first key in which a resumed config differs; keys that change no number may."""
    before, now = _flat(saved.config), _flat(config.model_dump(mode="json"))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not key.startswith(FREE_KEYS):
            raise ConfigError(f"{key} is {now.get(key)!r}, but {run.path} was trained with {before.get(key)!r}; "
                              "resume with the same, or start another run")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat
