"""What a run leaves on the disk while it trains, in an order in which no kill and no full disk loses it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from msnoah.atomic_file import link_file
from msnoah.errors import CheckpointError, RunFolderError
from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state, save_state
from msnoah.training.console import say
from msnoah.training.last_checkpoint import SavedRun, write_saved_run


class StateKeeper:
    """Writes best.ckpt, last.ckpt, checkpoints/*.ckpt and history.jsonl; only the process that trains may have one.

    A write that the system refuses costs a line, and training goes on: best.ckpt and history.jsonl are tried again at
    the next save, and the next state takes the place of one that was not written. `finish` raises what is missing then.

    Args:
        run: the folder, locked.
        keep_last: how many of the newest states stay, last.ckpt among them; "all", or 1 for last.ckpt alone.
    """

    def __init__(self, run: RunFolder, keep_last: int | Literal["all"]):
        self._run, self._keep_last = run, keep_last
        self._history: list[dict[str, Any]] = []
        self._recorded = 0   # of them in history.jsonl
        self._best: tuple[dict[str, np.ndarray], dict[str, Any]] | None = None   # what best.ckpt does not hold yet
        self._saved_steps: int | None = None
        self._faults: dict[str, RunFolderError] = {}

    def resume(self, saved: SavedRun, records: int) -> None:
        """Goes on after a state with so many records of history: later ones go, and last.ckpt holds this state.

        Raises:
            RunFolderError: the system refused to write.
        """
        earlier = self._run.history()[: records - len(saved.history)]
        self._history = [*earlier, *saved.history]
        if len(self._history) < records:
            say(f"{self._run.history_path}: {records - len(self._history)} of {records} epochs are missing in it")
        if saved.path != self._run.last_checkpoint:
            write_saved_run(self._run.last_checkpoint, saved)
        self._saved_steps = saved.steps
        self._keep()
        self._write_history()

    def resume_best(self, score: str, best: tuple[float, int]) -> tuple[float, int]:
        """The score to beat and its epoch, for a state that says `best`: those of best.ckpt as it is.

        It may be newer than the state, which then comes to the same weights again, or finds no better ones.
        """
        path = self._run.best_checkpoint
        if not path.is_file() and not best[1]:
            return best
        try:
            metadata = read_state(path)[1]
        except CheckpointError as error:
            say(f"{error}; the best from here on is kept")
            return -1.0, 0
        found = metadata.get(score, best[0]), metadata.get("epoch", best[1])
        if found[1] < best[1]:
            say(f"{path}: of epoch {found[1]}; that of epoch {best[1]}, which was better, is lost")
        return found

    def save_best(self, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        """Replaces best.ckpt. It comes before the state that names its score."""
        self._best = arrays, metadata
        self._write_best()

    def save(self, saved: SavedRun, record: dict[str, Any] | None = None) -> bool:
        """Replaces last.ckpt, keeps it, and adds a record to history.jsonl; whether last.ckpt now holds the state.

        The state holds the records that history.jsonl lacks: both count from the moment in which last.ckpt is renamed.
        """
        self._history += [record] if record else []
        self._write_best()
        saved = saved._replace(history=self._history[self._recorded:])
        if self._attempt(lambda: write_saved_run(self._run.last_checkpoint, saved), "last.ckpt"):
            self._saved_steps = saved.steps
            self._attempt(self._write_history, "history.jsonl")
            self._keep()
        return "last.ckpt" not in self._faults

    def finish(self) -> None:
        """At the end of training, or of its interruption.

        Raises:
            RunFolderError: something is not on the disk.
        """
        self._write_best()
        for fault in sorted(self._faults.values(), key=lambda fault: fault is not self._faults.get("last.ckpt")):
            raise RunFolderError(f"{fault}; {self._standing()}; make room or mend the rights, then go on with --resume")

    def _write_best(self) -> None:
        if self._best and self._attempt(lambda: save_state(self._run.best_checkpoint, *self._best), "best.ckpt"):
            self._best = None

    def _write_history(self) -> None:
        self._run.write_history(self._history)
        self._recorded = len(self._history)

    def _attempt(self, write: Callable[[], None], name: str) -> bool:
        self._faults.pop(name, None)
        try:
            write()
        except RunFolderError as error:
            self._faults[name] = error
            say(f"{error}; {self._standing()}; training goes on")
        return name not in self._faults

    def _standing(self) -> str:
        steps = self._saved_steps
        return "no state is on the disk yet" if steps is None else f"the last good state on the disk is of step {steps}"

    def _keep(self) -> None:
        """A second name for last.ckpt, then fewer of the older; what fails here costs no state."""
        try:
            if self._keep_last != 1:
                self._link()
            self._prune()
        except (OSError, RunFolderError) as error:
            say(f"{self._run.checkpoints_path}: last.ckpt is not kept there: {error}; {self._standing()}")

    def _link(self) -> None:
        folder = self._run.checkpoints_path
        folder.mkdir(exist_ok=True)
        link_file(self._run.last_checkpoint, folder / f"{self._saved_steps:09d}.ckpt")

    def _prune(self) -> None:
        """States of later steps than last.ckpt are damaged, or the run would have gone on from them."""
        kept = self._run.kept_checkpoints()
        whole = [path for path in kept if int(path.stem) <= self._saved_steps]
        count = {"all": len(whole), 1: 0}.get(self._keep_last, self._keep_last)
        for path in set(kept) - set(whole[max(len(whole) - count, 0):]):
            path.unlink()
        if self._keep_last == 1:
            with suppress(OSError):   # there is none, or it holds something else
                self._run.checkpoints_path.rmdir()
