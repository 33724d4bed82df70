"""kill -9 at random moments, then --resume: the same bits as the run that nobody touched."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_trainer import history, same_bits

from msnoah.run_folder import RunFolder

CONFIG = """
model:
  name: slab_deit_t
  args: {embed_dim: 16, depth: 2, num_heads: 2, patch_size: 2, drop_path_rate: 0.3}
data:
  {source: digits, image_size: 8, channels: 1, mean: [0.3], std: [0.38], augment: {crop: padded, padding: 1}}
train:
  epochs: 3
  batch_size: 144
  accumulate: 2
  mixup: {}
  ema_decay: 0.9
  optimizer: {lr: 2.0e-3}
  progressive_norm: {steps: 10}
  bn_reestimation_epochs: 1
  checkpoint_every_steps: 2
"""
STEPS = 15
ROOT = Path(__file__).parents[2]


def start(folder: Path, run: Path) -> subprocess.Popen:
    """A training process, its progress on the pipe; it resumes what it finds."""
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    resume = ["--resume"] if run.exists() else []
    command = [sys.executable, "-m", "msnoah", "train", str(config), "--run", str(run), *resume]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)


def finish(process: subprocess.Popen) -> None:
    _, progress = process.communicate(timeout=600)
    assert process.returncode == 0, progress.decode()[-2000:]


def kill_at(process: subprocess.Popen, step: int, delay_s: float) -> bool:
    """Kills the process a moment after its progress bar shows `step` of all; False if it ended before."""
    shown = b""
    while chunk := process.stderr.read1(4096):
        shown += chunk
        if done_steps(shown.decode(errors="replace")) >= step:
            time.sleep(delay_s)
            break
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def done_steps(progress: str) -> int:
    """Steps done, from bars such as 'epoch 2/3:  40%|...| 2/5 ['; a BatchNorm pass comes after all."""
    if "BatchNorm pass" in progress:
        return STEPS
    bars = re.findall(r"epoch (\d+)/3: [^|]*\|[^|]*\| (\d+)/5 \[", progress)
    return max(((int(epoch) - 1) * 5 + int(step) for epoch, step in bars), default=-1)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory) -> RunFolder:
    folder = tmp_path_factory.mktemp("untouched")
    finish(start(folder, folder / "run"))
    return RunFolder.open(folder / "run")


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, 10])
def test_killed_and_resumed_is_the_same(untouched, tmp_path, kills):
    random = np.random.default_rng()
    moments = sorted(random.integers(0, STEPS + 1, kills))   # STEPS: in the BatchNorm pass
    delays = random.uniform(0, 0.3, kills)                   # about a step: into computing, evaluating or writing
    run = tmp_path / "run"
    killed = [kill_at(start(tmp_path, run), moment, delay) for moment, delay in zip(moments, delays)]
    finish(start(tmp_path, run))
    resumed = RunFolder.open(run)
    where = f"killed {list(zip(moments, delays.round(3), killed))}"
    assert any(killed), where
    assert same_bits(resumed.last_checkpoint, untouched.last_checkpoint), where
    assert same_bits(resumed.best_checkpoint, untouched.best_checkpoint), where
    assert history(resumed) == history(untouched), where
    assert not list(run.glob("*.tmp")) and untouched.history()[-1]["phase"] == "bn_reestimation"
