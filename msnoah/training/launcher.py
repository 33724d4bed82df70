"""Starts the workers of a run on this machine by MindSpore's launcher msrun, and stays until they are done.

msrun writes the workers' output into files and kills all of them at its first signal. Here the first worker's output
and the cause of a failure reach the console, a signal lets the workers finish their step and save, and no worker
outlives the launcher.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # MindSpore depends on it, and msrun imports it

from msnoah.errors import RunFolderError, TrainingError
from msnoah.run_folder import RunFolder, read_json
from msnoah.training.interruption import Interruption
from msnoah.training.lifeline import Lifeline
from msnoah.training.worker_logs import LogFollower, explain_failure

RECORD_VARIABLE = "MSNOAH_RECORD"
"""In the environment of workers: where the first one leaves what training returns, in place of printing it."""
POLL_S = 0.1
GRACE_S = 5.0
"""So long may msrun take to end by itself when the workers have ended: it waits for its scheduler."""


def launch(program: Sequence[str], workers: int, run: RunFolder, device: str) -> dict[str, Any]:
    """Trains by several processes on this machine.

    Args:
        program: what follows `python` on the command line of a worker, as in -m msnoah train CONFIG --run RUN.
        workers: how many processes.
        run: the folder that they train.
        device: CPU, GPU or Ascend, as the config has it.

    Returns:
        What `train` returns, from the first worker.

    Raises:
        TrainingError: a worker failed or the run was interrupted (says what the worker said), or the run is being
            trained already.
        RunFolderError: the folder of their logs cannot be written.
    """
    logs = run.workers_path
    record = logs / "record.json"
    with Lifeline(run.path / ".launcher.lock") as lifeline, Interruption() as interruption:
        _empty(logs)
        environment = _environment() | lifeline.environment | {RECORD_VARIABLE: str(record.absolute())}
        group = WorkerProcesses(_command(program, workers, logs, device), environment, logs)
        try:
            group.follow(interruption)
        finally:
            group.kill()
    if not record.is_file():
        raise TrainingError(explain_failure(logs, group.ranks))
    return read_json(record)


class WorkerProcesses:
    """msrun, its scheduler and the workers, which have sessions of their own."""

    def __init__(self, command: list[str], environment: dict[str, str], logs: Path):
        with (logs / "msrun.log").open("w") as log:
            self._msrun = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=subprocess.STDOUT, start_new_session=True)
        self._log, self._workers = LogFollower(logs / "worker_0.log"), {}
        self.ranks: dict[int, int] = {}

    def follow(self, interruption: Interruption) -> None:
        """Shows the first worker's output until all are gone; the first signal is passed on to them."""
        told, deadline = False, float("inf")
        while self._msrun.poll() is None and time.monotonic() < deadline:
            self._find_workers()
            self._log.copy()
            if interruption.requested and not told:
                told = self._pass_on(signal.SIGTERM)
            if self._workers and not any(map(_is_alive, self._workers.values())):   # msrun waits for its scheduler
                deadline = min(deadline, time.monotonic() + GRACE_S)
            time.sleep(POLL_S)
        self._log.copy()

    def kill(self) -> None:
        """Ends whatever is left."""
        self._find_workers()
        for worker in self._workers.values():
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._msrun.pid, signal.SIGKILL)
        self._msrun.wait()

    def _find_workers(self) -> None:
        """Workers lead sessions of their own; the scheduler is in msrun's."""
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._msrun.pid).children():
                if process.pid not in self._workers and os.getsid(process.pid) == process.pid:
                    self.ranks[process.pid] = int(process.environ().get("RANK_ID", -1))
                    self._workers[process.pid] = process

    def _pass_on(self, number: int) -> bool:
        for worker in self._workers.values():
            with suppress(psutil.NoSuchProcess):
                worker.send_signal(number)
        return bool(self._workers)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _command(program: Sequence[str], workers: int, logs: Path, device: str) -> list[str]:
    # A worker number that there is not: msrun shows no log by itself.
    options = {"worker_num": workers, "local_worker_num": workers, "master_port": _free_port(), "log_dir": logs,
               "join": True, "tail_worker_log": workers, "bind_core": _has_cores(workers, device)}
    options = [f"--{key}={value}" for key, value in options.items()]
    return [sys.executable, "-m", "mindspore.parallel.cluster.run", *options, "python", *program]


def _has_cores(workers: int, device: str) -> bool:
    """Whether each worker gets cores of its own: where they compute on cores, all would take all of them."""
    return device == "CPU" and (os.cpu_count() or 1) >= workers and shutil.which("taskset") is not None


def _environment() -> dict[str, str]:
    """msrun starts the `python` of the PATH: this one."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _empty(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be made: {error.strerror}") from error
