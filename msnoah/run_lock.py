"""One writer a run folder: a lock that the system gives back when its process ends, however that ends."""

import errno
import os
import sys
from pathlib import Path

from msnoah.errors import RunFolderError

_HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}   # the last from file systems that lock by fcntl
_descriptors: set[int] = set()


class RunLock:
    """While entered, the file RUN/.lock is locked and holds the process's number.

    flock(2) locks an open file, which a forked process shares: it would keep the lock when this process is killed. So
    the file is closed in children, forked or started. The file stays: to remove it would let two processes lock two.

    Raises:
        RunFolderError: another process holds the lock, or the file cannot be made.
    """

    def __init__(self, folder: Path):
        self._folder, self._path = folder, folder / ".lock"
        self._descriptor = -1

    def __enter__(self) -> "RunLock":
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)   # closed on exec, as Python has it
        except OSError as error:
            raise RunFolderError(f"{self._path}: cannot be written: {error.strerror}") from error
        try:
            _lock(self._descriptor)
        except OSError as error:
            if error.errno in _HELD:
                raise self._refusal() from None
            print(f"{self._path}: cannot be locked here ({error.strerror}); see to it that no second process trains "
                  "this run", file=sys.stderr)
        self._sign()
        return self

    def __exit__(self, *exception) -> None:
        if self._descriptor in _descriptors:   # a forked child has closed it
            _descriptors.discard(self._descriptor)
            os.close(self._descriptor)

    def _sign(self) -> None:
        _descriptors.add(self._descriptor)
        try:
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            return   # a full disk: the number is for people, the lock holds without it

    def _refusal(self) -> RunFolderError:
        number = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
        os.close(self._descriptor)
        holder = f"process {number}" if number.isdigit() else "another process"
        return RunFolderError(f"{self._folder}: {holder} is writing to it; wait for it or stop it")


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError as error:   # Windows
        raise OSError(errno.ENOSYS, "no flock on this system") from error
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _close_all() -> None:
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all)
