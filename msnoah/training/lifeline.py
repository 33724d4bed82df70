"""Workers that end when their launcher does, however it ended.

The launcher holds a lock on a file for as long as it lives. Each worker waits for that lock in a thread; the kernel
gives it to them when the launcher is gone, at a kill -9 too, and they end msrun and themselves. msrun's scheduler waits
for workers inside MindSpore, where no Python thread runs: the kernel ends it with msrun.
"""

import ctypes
import fcntl
import os
import signal
import sys
import threading
from pathlib import Path

from msnoah.errors import TrainingError

VARIABLE = "MSNOAH_LIFELINE"
"""In the environment of workers: the path of the lock."""
_PR_SET_PDEATHSIG = 1   # linux/prctl.h: the signal that comes when the parent ends


class Lifeline:
    """While entered, the lock is held; its environment goes to the workers."""

    def __init__(self, path: Path):
        self.path = path.absolute()
        self.environment = {VARIABLE: str(self.path)}

    def __enter__(self) -> "Lifeline":
        """TrainingError if another launcher holds it."""
        self._file = self.path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise TrainingError(f"{self.path.parent}: workers of another command are training this run; wait for them, "
                                "or stop that command") from None
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()


def hold_lifeline() -> None:
    """In a worker: from here on it does not outlive its launcher. Nothing happens where msrun was started by hand."""
    path = os.environ.get(VARIABLE)
    if path:
        _end_with_parent()
        threading.Thread(target=_end_with, args=(path, os.getppid()), daemon=True, name="msnoah-lifeline").start()


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _end_with(path: str, msrun: int) -> None:
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_SH)   # granted when the launcher is gone
    if os.getppid() == msrun:
        os.kill(msrun, signal.SIGKILL)   # else it would wait for its scheduler
    os.kill(os.getpid(), signal.SIGKILL)   # it may be waiting for others inside MindSpore, where no exception goes
