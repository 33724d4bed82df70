"""last.ckpt: all that a resumed run goes on from, and the checks before it does."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from msnoah.config import RunConfig
from msnoah.errors import CheckpointError, ConfigError
from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state, save_state

# Keys whose change leaves the numbers of a run as they are, or (device, mode) within rounding of them.
FREE_KEYS = ("device", "export.", "profile.", "quantize.", "checkpoint.keep_last", "data.path", "data.workers",
             "data.classes", "train.eval_batch_size", "train.mode", "train.non_finite")
# Training that goes on from what a compressed state restores to depends on what is compressed, how and when.
COMPRESSION_KEYS = ("checkpoint.", "train.checkpoint_every_steps")


class SavedRun(NamedTuple):
    """What last.ckpt holds."""

    arrays: dict[str, np.ndarray]   # weights, moments and averages by name
    state: dict[str, Any]
    loss_scale: dict[str, float]
    config: dict[str, Any]
    history: list[dict[str, Any]] = []   # records of its epochs that history.jsonl did not hold yet
    path: Path | None = None             # where it was read from

    @property
    def steps(self) -> int:
        """Optimiser steps done."""
        return self.state["step"]

    def metadata(self) -> dict[str, Any]:
        """All but the arrays, as JSON values."""
        return {"state": self.state, "loss_scale": self.loss_scale, "config": self.config, "history": self.history}


def read_saved_run(path: Path) -> SavedRun:
    """A training state from a .ckpt; CheckpointError if it is damaged or not one of a training run."""
    return saved_run(*read_state(path), path)


def saved_run(arrays: dict[str, np.ndarray], metadata: dict[str, Any], path: Path) -> SavedRun:
    """Arrays and metadata of a state, which `path` held; CheckpointError if they are not those of a training run."""
    try:
        return SavedRun(arrays, metadata["state"], metadata["loss_scale"], metadata["config"],
                        metadata.get("history", []), path)
    except KeyError as error:
        raise CheckpointError(f"{path}: lacks {error}, so it is no checkpoint to resume from") from None


def write_saved_run(path: Path, saved: SavedRun) -> None:
    """Replaces a .ckpt as a whole; a kill leaves the earlier one. RunFolderError if the system refuses."""
    save_state(path, saved.arrays, saved.metadata())


def check_same_run(saved: SavedRun, config: RunConfig, run: RunFolder) -> None:
    """ConfigError that names the first key in which a resumed config differs; keys that change no number may.

    Keys that the saved config lacks, since msnoah did not have them yet, count as their defaults.
    """
    before, now = _flat(_with_defaults(saved.config)), _flat(config.model_dump(mode="json"))
    lossy = any(values.get("checkpoint.continue_every") for values in (before, now))
    free = FREE_KEYS if lossy else FREE_KEYS + COMPRESSION_KEYS
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not key.startswith(free):
            raise ConfigError(f"{key} is {now.get(key)!r}, but {run.path} was trained with {before.get(key)!r}; "
                              "resume with the same, or start another run")


def _with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    try:
        return RunConfig.model_validate(config).model_dump(mode="json")
    except ValidationError:   # a key that is no more, or has other values now: named where the two are compared
        return config


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat
