"""The states of a run on their way to the disk and back, for one worker or for a group of them."""

from contextlib import ExitStack
from typing import Any

from mindspore import Parameter

from msnoah.config import RunConfig
from msnoah.errors import RunFolderError
from msnoah.run_folder import RunFolder
from msnoah.training.last_checkpoint import SavedRun, read_saved_run
from msnoah.training.loss_scale import LossScale
from msnoah.training.state_chain import StateChain
from msnoah.training.state_keeper import StateKeeper
from msnoah.training.training_state import TrainingState, gather, restore
from msnoah.training.worker_group import WorkerGroup

Groups = dict[str, dict[str, Parameter]]


class StateSaver:
    """The first worker writes; where training goes on from a compressed state, the others read what it wrote.

    A context: when it ends, all that waits to be compressed is.
    """

    def __init__(self, config: RunConfig, run: RunFolder, group: WorkerGroup):
        self._config, self._run, self._group = config, run, group
        self._keeper = StateKeeper(run, config.checkpoint.keep_last)
        compresses = config.checkpoint.compression == "excp"
        self._chain = StateChain(run, config.checkpoint) if compresses and group.is_first else None
        self._replaces = compresses and config.checkpoint.continue_every is not None
        self._stack = ExitStack()

    def __enter__(self) -> "StateSaver":
        if self._chain:
            self._stack.enter_context(self._chain)
        return self

    def __exit__(self, *exception) -> None:
        self._stack.__exit__(*exception)

    def resume(self, saved: SavedRun, state: TrainingState, score: str) -> None:
        """Goes on after a state; `state` learns the best score that is on the disk."""
        if self._group.is_first:
            self._keeper.resume(saved, state.records)
            state.best_score, state.best_epoch = self._keeper.resume_best(score, (state.best_score, state.best_epoch))

    def resume_chain(self, steps: int, due: bool) -> None:
        """Compressed states of later steps go. A state to go on from may lack there, if a kill came in between."""
        if self._chain:
            self._chain.resume(steps)
            if due:
                self._chain.add(steps)

    def save_best(self, weights: dict[str, Parameter], metadata: dict[str, Any]) -> None:
        """Replaces best.ckpt; called by the first worker alone."""
        self._keeper.save_best(gather({"": weights}), metadata)

    def save(self, groups: Groups, state: TrainingState, loss_scale: LossScale, record: dict[str, Any] | None, *,
             due: bool, final: bool) -> None:
        """Writes a state, and the record of an epoch that it ends; it is compressed if it is due.

        All workers must come here. The weights may then be other ones: with checkpoint.continue_every, those that the
        compressed state restores to, but never after the final one.
        """
        replaced = self._group.is_first and self._write(groups, state, loss_scale, record, due, final)
        if self._replaces and due and not final and self._group.any(replaced) and not self._group.is_first:
            restore(groups, read_saved_run(self._run.last_checkpoint).arrays, self._run.last_checkpoint)

    def finish(self) -> None:
        """At the end of training, or of its interruption; RunFolderError if something is not on the disk."""
        self._keeper.finish()

    def _write(self, groups: Groups, state: TrainingState, loss_scale: LossScale, record: dict[str, Any] | None,
               due: bool, final: bool) -> bool:
        """Whether the weights were replaced."""
        config, history = self._config.model_dump(mode="json"), [] if record is None else [record]
        saved = SavedRun(gather(groups), state.record(), loss_scale.state(), config, history)
        restored = self._chain.replace(saved) if self._chain and due and not final else None
        if restored:
            restore(groups, restored.arrays, self._run.chain_path)
        written = self._keeper.save(restored or saved, record)
        if written and self._chain and due:
            self._chain.add(state.step)
        if restored and not written and self._group.size > 1:
            raise RunFolderError(f"{self._run.last_checkpoint}: not written, so the other workers cannot go on from the "
                                 "compressed state; make room, then go on with --resume")
        return restored is not None
