"""A kill before each file operation of saving, one after another; then --resume."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from test_trainer import history, same_bits

from msnoah.run_folder import RunFolder

CONFIG = """
model: {name: small_net_for_training_tests}
data: {source: digits, image_size: 8, channels: 1, mean: [0.3], std: [0.38]}
train:
  {epochs: 3, batch_size: 700, mode: pynative, checkpoint_every_steps: 1, bn_reestimation_epochs: 1, ema_decay: 0.5}
"""
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


def train(config: Path, run: Path, number: int) -> subprocess.CompletedProcess:
    command = [sys.executable, "kill_in_training.py", str(config), str(run), str(number)]
    return subprocess.run(command, cwd=FOLDER, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_whole_runs_that_are_killed_while_they_save(tmp_path):
    """Each process is killed one file operation later than the one before, counted from its own start: after some 25,
    all kinds of operations came at many steps. Then one that is left alone."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    untouched = train(config, tmp_path / "untouched", 10**6)
    assert untouched.returncode == 0 and int(untouched.stdout) > 50, untouched.stderr[-2000:]
    run, kills = tmp_path / "run", 0
    while (done := train(config, run, kills + 1)).returncode == -signal.SIGKILL:
        kills += 1
    assert done.returncode == 0 and kills > 20, f"{kills} kills: {done.stderr[-2000:]}"
    one, other = RunFolder.open(run), RunFolder.open(tmp_path / "untouched")
    assert same_bits(one.last_checkpoint, other.last_checkpoint)
    assert same_bits(one.best_checkpoint, other.best_checkpoint)
    assert history(one) == history(other) and not list(run.rglob("*.tmp"))
    assert [path.name for path in one.kept_checkpoints()] == [path.name for path in other.kept_checkpoints()]
