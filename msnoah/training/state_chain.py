"""The chain of compressed states that a run keeps while it trains (ExCP)."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msnoah.atomic_file import remove_file, remove_leftovers
from msnoah.checkpoint_config import CheckpointConfig
from msnoah.compression.background import BackgroundCompressor
from msnoah.compression.chain import Chain
from msnoah.compression.compressing import append_state, make_folder
from msnoah.compression.pending import pending_folder, pending_paths
from msnoah.compression.settings import find_settings
from msnoah.errors import CheckpointError, MsnoahError, RunFolderError
from msnoah.run_folder import RunFolder
from msnoah.run_lock import RunLock
from msnoah.training.console import say
from msnoah.training.last_checkpoint import SavedRun

_PATIENCE_S = 60.0
_POLL_S = 0.1


class StateChain:
    """Compresses states beside training, or before it goes on where it goes on from what is left of them.

    As a context it ends with all that waits compressed, also when training ends with an error of msnoah's own.

    Args:
        run: the folder, locked.
        config: preset, key_frame_every and continue_every.
    """

    def __init__(self, run: RunFolder, config: CheckpointConfig):
        self._run, self._folder, self._config = run, run.chain_path, config
        self._settings = find_settings(config.preset)
        self._background = BackgroundCompressor(self._folder, self._settings, config.key_frame_every, say)
        make_folder(pending_folder(self._folder))

    def __enter__(self) -> "StateChain":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception) -> None:
        if kind is None or issubclass(kind, MsnoahError):
            self._background.finish()
        else:
            self._background.stop()

    def resume(self, steps: int) -> None:
        """Drops what was kept after so many optimiser steps: training comes to those states again.

        Raises:
            RunFolderError: the system refused, or another process writes to the chain.
        """
        with _locked(self._folder):
            remove_leftovers(pending_folder(self._folder))
            for path in reversed(pending_paths(self._folder)):
                if int(path.stem) > steps:
                    remove_file(path)
            Chain(self._folder).truncate(after=steps)
        if pending_paths(self._folder):
            self._background.look()

    def _holds(self, steps: int) -> bool:
        return steps in Chain(self._folder).steps() or steps in {int(path.stem) for path in pending_paths(self._folder)}

    def replace(self, saved: SavedRun) -> SavedRun | None:
        """Of every n-th state what the chain restores of it, to go on from; else None.

        It is compressed at once, and must become last.ckpt before training goes on: a resumed run comes to the same.
        """
        every = self._config.continue_every
        if every is None or self._holds(saved.steps) or (self._count() + 1) % every or not self._background.wait():
            return None
        try:
            with _locked(self._folder):
                restored = append_state(Chain(self._folder), saved.steps, saved.arrays, saved.metadata(), self._settings,
                                        self._config.key_frame_every)
        except (RunFolderError, CheckpointError) as error:
            say(f"{error}; training goes on from step {saved.steps} as it is")
            return None
        return saved._replace(arrays=restored)

    def add(self, steps: int) -> None:
        """Has last.ckpt, of so many optimiser steps, compressed while training goes on, if it is not in the chain yet.

        What the system refuses costs a line.
        """
        if self._holds(steps):
            return
        try:
            self._background.add(self._run.last_checkpoint, steps)
        except RunFolderError as error:
            say(f"{error}; step {steps} is not compressed")

    def _count(self) -> int:
        return len(Chain(self._folder).paths()) + len(pending_paths(self._folder))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone in the folder; the process of a run that was killed leaves it a moment later."""
    deadline = time.monotonic() + _PATIENCE_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(RunLock(folder))
                break
            except RunFolderError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_S)
        yield
