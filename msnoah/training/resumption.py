"""What a run that is resumed goes on from: the newest of its states that is whole."""

from collections.abc import Callable, Iterator
from pathlib import Path

from msnoah.atomic_file import remove_leftovers
from msnoah.compression.chain import Chain
from msnoah.errors import CheckpointError, TrainingError
from msnoah.run_folder import RunFolder
from msnoah.training.console import say
from msnoah.training.last_checkpoint import SavedRun, read_saved_run, saved_run
from msnoah.training.worker_group import ALONE, WorkerGroup

Faults = list[str]


def find_saved_run(run: RunFolder, resume: bool, group: WorkerGroup = ALONE) -> SavedRun | None:
    """What to go on from; None is a start from step 0, also right for a run killed before its first checkpoint.

    The newest whole state is taken, and each that was passed over costs a line. A kept one may be newer than last.ckpt,
    where a file system lost a rename with the power. A chain comes last, since its states may have lost something. All
    workers of a group read, before the first of them writes.

    Raises:
        TrainingError: nothing to resume, or a run in the way of a new one.
        CheckpointError: no state is whole; names the first fault.
    """
    chain = Chain(run.chain_path)
    exists = run.last_checkpoint.is_file() or bool(run.kept_checkpoints() or chain.paths())
    if not resume and exists:
        raise TrainingError(f"{run.path}: a run lies there already; resume it, or take another folder")
    if resume and not exists and run.history():
        raise TrainingError(f"{run.last_checkpoint}: nothing to resume: no such checkpoint")
    faults: Faults = []
    found = _newest_whole(run, chain, faults) if exists else None
    group.wait()
    if group.is_first:
        for folder in (run.path, run.checkpoints_path, run.chain_path):
            remove_leftovers(folder)
        for fault in faults:
            say(f"{fault}; goes on from {_describe(found, run)}")
    return found


def _newest_whole(run: RunFolder, chain: Chain, faults: Faults) -> SavedRun:
    found = _newest_checkpoint(run, faults) or next(_whole(reversed(chain.paths()), _restorer(chain), faults), None)
    if found is None:
        others = f"; {len(faults) - 1} more are no better" if len(faults) > 1 else ""
        raise CheckpointError(f"{faults[0]}{others}; put a whole state in its place, or start another run")
    return found


def _describe(found: SavedRun, run: RunFolder) -> str:
    epochs = found.config["train"]["epochs"]
    place = f"step {found.steps}, in epoch {min(found.state['epoch'] + 1, epochs)} of {epochs}"
    loss = ", compressed: not in the bits of an untouched run" if found.path.parent == run.chain_path else ""
    return f"{found.path} ({place}{loss})"


def _newest_checkpoint(run: RunFolder, faults: Faults) -> SavedRun | None:
    last = next(_whole([run.last_checkpoint], read_saved_run, faults), None)
    steps = -1 if last is None else last.steps
    newer = [path for path in reversed(run.kept_checkpoints()) if int(path.stem) > steps]
    kept = next(_whole(newer, read_saved_run, faults), None)
    if kept and last:
        faults.append(f"{run.last_checkpoint}: of step {steps}; to go back to it, remove the newer ones")
    return kept or last


def _restorer(chain: Chain) -> Callable[[Path], SavedRun]:
    return lambda path: saved_run(*chain.restore(path), path)


def _whole(paths, read: Callable[[Path], SavedRun], faults: Faults) -> Iterator[SavedRun]:
    for path in paths:
        try:
            yield read(path)
        except CheckpointError as error:
            faults.append(str(error))
