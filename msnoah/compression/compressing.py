"""Checkpoints of a run, compressed into a chain."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from msnoah.compression.chain import Arrays, Chain, State
from msnoah.compression.settings import ExcpSettings
from msnoah.errors import CheckpointError, RunFolderError
from msnoah.run_lock import RunLock
from msnoah.state_file import read_metadata, read_state


def compress_checkpoints(
    paths: Sequence[Path], folder: Path, settings: ExcpSettings, *, key_frame_every: int = 5,
) -> Chain:
    """Adds training states (last.ckpt, as it was at several steps) to a chain, in the order of their steps.

    Args:
        paths: .ckpt files that msnoah's training wrote.
        folder: where the chain lies or will lie. Steps that it holds already are left out, so that a command that was
            interrupted goes on.
        settings: how much is left out between key frames.
        key_frame_every: every n-th file is one, so that restoring reads at most n files.

    Raises:
        CheckpointError: a file that is damaged or no training state, two of one step, or a step before the chain's end.
        RunFolderError: the folder or a file cannot be written, or training writes to this chain.
    """
    if key_frame_every < 1:
        raise CheckpointError(f"key_frame_every {key_frame_every}: expected 1 or more")
    make_folder(folder)
    ordered = sorted(find_steps(paths).items())
    with RunLock(folder):
        chain = Chain(folder)
        done = chain.steps()
        for step, path in tqdm([pair for pair in ordered if pair[0] not in done], desc="compress", unit="checkpoint"):
            arrays, metadata = read_state(path)
            append_state(chain, step, arrays, metadata, settings, key_frame_every)
    return chain


def append_state(
    chain: Chain, step: int, arrays: State, metadata: dict[str, Any], settings: ExcpSettings, key_frame_every: int,
) -> Arrays:
    """Adds one state, as a key frame if it is the first or the n-th after one; gives what the chain restores of it.

    Raises:
        CheckpointError: the state is not after the newest of the chain, or that one is damaged.
        RunFolderError: the system refused to write.
    """
    if len(chain.paths()) % key_frame_every == 0:
        return chain.append_key(step, arrays, metadata)
    return chain.append(step, arrays, settings, metadata)


def make_folder(path: Path) -> None:
    """A folder for a chain, with those above it; RunFolderError if the system refuses."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be made: {error.strerror}") from error


def find_steps(paths: Sequence[Path]) -> dict[int, Path]:
    """The file of each optimiser step; of passes that re-estimate BatchNorm, which take no steps, the last.

    Raises:
        CheckpointError: a file that is damaged or no training state, or two of one step.
    """
    states = [(_progress(path), path) for path in paths]
    found: dict[int, tuple[tuple[int, int], Path]] = {}
    for progress, path in sorted(states):
        step = progress[0]
        if step in found and found[step][0] == progress:
            raise CheckpointError(f"{path}: step {step}, as {found[step][1]}; give one file a step")
        found[step] = progress, path
    return {step: path for step, (_, path) in found.items()}


def _progress(path: Path) -> tuple[int, int]:
    """Optimiser steps and passes of re-estimation that a training state has behind it."""
    state = read_metadata(path).get("state")
    if not isinstance(state, dict) or not isinstance(state.get("step"), int):
        raise CheckpointError(f"{path}: holds weights but no training state; compress last.ckpt files")
    return state["step"], state.get("reestimation_epochs", 0)
