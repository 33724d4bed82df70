"""One writer a run folder."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from test_config import GOOD

from msnoah.config_file import load_config
from msnoah.errors import RunFolderError
from msnoah.run_folder import RunFolder
from msnoah.run_lock import RunLock

ROOT = Path(__file__).parents[1]
HOLD = """
import os, sys, time
from pathlib import Path
from msnoah.run_lock import RunLock
with RunLock(Path(sys.argv[1])):
    child = os.fork() if "fork" in sys.argv else None
    os.write(1, b"%d\\n" % os.getpid())   # in one piece, where two processes write
    time.sleep(60)
"""


@contextmanager
def holder(folder: Path, *how: str):
    """Another process that holds the lock; killed at the end, with what it forked."""
    command = [sys.executable, "-c", HOLD, str(folder), *how]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        for _ in range(1 + len(how)):
            assert process.stdout.readline().strip().isdigit()
        yield process
    finally:
        with suppress(ProcessLookupError):   # a test has killed it, and it forked nothing
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    with holder(tmp_path) as process:
        for _ in range(2):
            with pytest.raises(RunFolderError, match=f"^{tmp_path}: process {process.pid} is writing to it; wait"):
                RunLock(tmp_path).__enter__()
        process.kill()
        process.wait()
        with RunLock(tmp_path):
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path):
    with holder(tmp_path, "fork") as process:
        process.kill()
        process.wait()
        os.killpg(process.pid, 0)   # its child lives
        with RunLock(tmp_path):
            pass


def test_a_started_program_does_not_keep_the_lock(tmp_path):
    command = [sys.executable, "-c", "print('started', flush=True); input()"]
    with RunLock(tmp_path):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False)
        assert child.stdout.readline() == b"started\n"
    try:
        with RunLock(tmp_path):
            assert child.poll() is None
    finally:
        child.communicate(b"\n")


def test_a_lock_is_free_after_an_error_and_holds_within_a_process(tmp_path):
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        with pytest.raises(RunFolderError, match=f"process {os.getpid()} is writing to it"):
            RunLock(tmp_path).__enter__()
        _ = 1 / 0
    with RunLock(tmp_path):
        pass


def test_a_config_is_not_replaced_while_a_run_trains(tmp_path):
    (tmp_path / "x.yaml").write_text(GOOD)
    config = load_config(tmp_path / "x.yaml")
    run = RunFolder.create(tmp_path / "run", config)
    with RunLock(run.path), pytest.raises(RunFolderError, match="is writing to it"):
        RunFolder.create(run.path, config.model_copy(update={"seed": 5}))
    assert run.config() == config


def test_a_file_system_without_locks_costs_a_line(tmp_path, monkeypatch, capsys):
    import fcntl

    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with RunLock(tmp_path):
        pass
    assert ".lock: cannot be locked here (No locks available); see to it that no" in capsys.readouterr().err


def test_a_folder_that_takes_no_file(tmp_path):
    with pytest.raises(RunFolderError, match="none/.lock: cannot be written: No such file"):
        RunLock(tmp_path / "none").__enter__()
