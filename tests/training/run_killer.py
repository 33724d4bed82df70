"""A training run in processes of its own: killed (SIGKILL) at chosen moments, and watched until none is left."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import psutil

from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state

ROOT = Path(__file__).parents[2]
SMALL_NET_COMMAND, COMMAND = [str(ROOT / "tests/training/small_net_command.py")], ["-m", "msnoah"]
MARK = "MSNOAH_KILL_TEST"   # in the environment of every process of a run, however it was started
POLL_S = 2e-4               # a checkpoint is being written for some milliseconds
PATIENCE_S = 300            # of a step or of the end of a run, on a busy machine


class TrainingProcesses:
    """`msnoah train`, resumed if the run has begun, with all that it starts."""

    def __init__(self, config: Path, run: Path, workers: int = 1):
        self.run, self.mark = RunFolder(run), uuid.uuid4().hex
        options = ["--workers", str(workers)] if workers > 1 else []
        options += ["--resume"] if self.run.config_path.is_file() else []
        program = COMMAND if workers > 1 else SMALL_NET_COMMAND
        command = [sys.executable, *program, "train", str(config), "--run", str(run), *options]
        self.log = config.with_name(f"{run.name}.log")
        with open(self.log, "wb") as log:   # no pipe, whose other end a worker might outlive
            self._launcher = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env=os.environ | {MARK: self.mark, "PYTHONPATH": str(ROOT)})

    def finish(self) -> None:
        """Waits for a good end."""
        code = self._launcher.wait(PATIENCE_S)
        assert code == 0, self.log.read_text()[-3000:]

    def is_running(self) -> bool:
        """Whether the command that was typed still runs."""
        return self._launcher.poll() is None

    def victims(self, whom: str, random: np.random.Generator) -> list[int]:
        """Whom to kill: ids of the launcher, of one worker or of all that live now."""
        if whom == "launcher":
            return [self._launcher.pid]
        started = self._started()
        if whom == "all":
            return [self._launcher.pid, *(process.pid for process in started)]
        workers = [process.pid for process in started if _role(process) == "MS_WORKER"]   # not msrun or its scheduler
        return [int(random.choice(workers or [self._launcher.pid]))]   # at first there are none

    def _started(self) -> list[psutil.Process]:
        """What the launcher started, and what that started."""
        try:
            return psutil.Process(self._launcher.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def wait_for_end(self, patience_s: float) -> list[str]:
        """Waits until no process of this start lives; command lines of those that still do, which are then killed."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and (self.is_running() or _marked(self.mark)):
            time.sleep(0.1)
        left = _marked(self.mark)   # whoever started it, and whether that one lives
        described = [f"{process.pid}: {_command(process)}" for process in left]
        for process in left:
            kill(process.pid)
        self._launcher.wait(PATIENCE_S)
        return described


def steps_done(run: Path) -> int:
    """Optimiser steps that last.ckpt holds; 0 before it is there."""
    path = RunFolder(run).last_checkpoint
    return read_state(path)[1]["state"]["step"] if path.is_file() else 0


def wait_for_checkpoints(running: TrainingProcesses, count: int) -> bool:
    """Waits until last.ckpt was replaced `count` times; False if the run ended before."""
    path, deadline = running.run.last_checkpoint, time.monotonic() + PATIENCE_S
    seen = _version(path)
    while count > 0 and running.is_running():
        assert time.monotonic() < deadline, running.log.read_text()[-3000:]
        time.sleep(POLL_S)
        found = _version(path)
        count, seen = count - (found != seen), found
    return running.is_running()


def wait_for_writing(running: TrainingProcesses) -> bool:
    """Waits until a checkpoint is being written; False if the run ended before."""
    deadline = time.monotonic() + PATIENCE_S
    while running.is_running() and not half_written(running.run.path):
        assert time.monotonic() < deadline, running.log.read_text()[-3000:]
        time.sleep(POLL_S)
    return running.is_running()


def half_written(run: Path) -> list[str]:
    """Checkpoints that are being written, or that a kill left so."""
    folders = [run, *(entry.path for entry in _entries(run) if entry.is_dir())]
    return [entry.name for folder in folders for entry in _entries(folder)
            if entry.name.endswith(".tmp") and (".ckpt." in entry.name or ".excp." in entry.name)]


def _entries(folder: Path | str) -> list[os.DirEntry]:
    try:
        return list(os.scandir(folder))
    except OSError:   # not made yet, or gone since
        return []


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _marked(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _mark_of(process) == mark]


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK) if process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, OSError):   # another user's, or ended meanwhile
        return None


def _role(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("MS_ROLE")
    except (psutil.Error, OSError):
        return None


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return "ended"


def kill(pid: int) -> None:
    """SIGKILL to a process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
