"""A kill before each file operation of saving, one after another; then --resume."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER.parents[1]), str(FOLDER)])}


@pytest.fixture
def fast_folder(tmp_path):
    """In memory where there is such a place: a kill, unlike a power failure, loses nothing that was written."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield folder


@pytest.mark.parametrize("keep_last, least", [
    pytest.param("1", 8 * 3, id="1"),       # flush, rename, flush of last.ckpt
    pytest.param("2", 8 * 6 + 6, id="2"),   # and link, rename, flush; removals
    pytest.param("all", 8 * 6, id="all")])
def test_no_moment_of_saving_loses_a_state(keep_last, least, fast_folder):
    command = [sys.executable, "kill_every_operation.py", fast_folder, keep_last]
    done = subprocess.run(command, cwd=FOLDER, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[0]) > least
