"""kill -9 at random moments, then --resume: the same bits as the run that nobody touched."""

import itertools
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from run_killer import TrainingProcesses, half_written, kill, steps_done, wait_for_checkpoints, wait_for_writing
from test_trainer import history, same_bits

from msnoah.run_folder import RunFolder

CONFIG = """
model: %s
data:
  {source: digits, image_size: 8, channels: 1, mean: [0.3], std: [0.38], augment: {crop: padded, padding: 1}}
train:
  epochs: %d
  batch_size: %d
  mixup: {}
  ema_decay: 0.9
  optimizer: {lr: 2.0e-3}
  progressive_norm: {steps: 100}
  bn_reestimation_epochs: 1
  checkpoint_every_steps: 1
"""
MODELS = {   # of one process, and of several, whose command knows no model of a test
    1: "{name: small_net_for_training_tests, args: {width: 512, drop_path_rate: 0.3}}",
    2: "{name: slab_deit_t, args: {embed_dim: 64, depth: 1, num_heads: 2, patch_size: 4, drop_path_rate: 0.3}}"}
WRITING, COMPUTING, STARTING = "writing", "computing", "starting"


def write_config(folder: Path, epochs: int, steps_per_epoch: int, workers: int) -> Path:
    path = folder / "config.yaml"
    path.write_text(CONFIG % (MODELS[workers], epochs, 1442 // steps_per_epoch))   # of 1442 digits
    return path


def plan(kills: int, last: int, random: np.random.Generator) -> list[tuple[int, str]]:
    """Steps in rising order, up to `last`, and kinds of moments: two in five while a checkpoint is written."""
    kinds = [WRITING] * -(-2 * kills // 5) + [STARTING] * round(kills / 8)
    kinds += [COMPUTING] * (kills - len(kinds))
    moments = np.sort(random.choice(np.arange(1, last + 1), kills, replace=False))
    return list(zip(moments.tolist(), random.permutation(kinds).tolist()))


def kill_at(running: TrainingProcesses, step: int, kind: str, whom: str, start_s: float,
            random: np.random.Generator) -> bool:
    """Kills at a moment of a kind, at about a step; False if the run had ended before."""
    if kind == STARTING:
        time.sleep(random.uniform(0, start_s))   # importing, reading last.ckpt, compiling
        victims = running.victims(whom, random)
    else:
        steps = max(2, step - steps_done(running.run.path))
        wait_for_checkpoints(running, 1)
        victims = running.victims(whom, random)
        wait_for_checkpoints(running, steps - 1)
        if kind == WRITING:
            wait_for_writing(running)
        time.sleep(random.uniform(0, 0.002 if kind == WRITING else 0.03))   # into writing, or a step or so
    alive = running.is_running()
    for pid in victims:
        kill(pid)
    return alive


def kill_and_resume(config: Path, run: Path, moments: list[tuple[int, str]], victims: list[str],
                    random: np.random.Generator, workers: int = 1) -> Counter:
    """Kills a run at each moment and resumes it, to its end. What was counted, by name."""
    counted, record = Counter(), []
    for (step, kind), whom in zip(moments, itertools.cycle(victims)):
        running = TrainingProcesses(config, run, workers)
        killed = kill_at(running, step, kind, whom, 5.0 * workers, random)
        left = running.wait_for_end(30)
        assert not left, f"outlived the kill of {whom}: {left}"
        counted += Counter({"kills": killed, f"of {whom}": killed, "while writing": killed and bool(half_written(run))})
        record.append((step, kind, whom, killed, steps_done(run)))
    last = TrainingProcesses(config, run, workers)
    last.finish()
    assert not last.wait_for_end(60)
    print(f"\nstep aimed at, moment, victim, whether killed, step saved: {record}")
    return counted


def check_same(resumed: RunFolder, untouched: RunFolder, where: str) -> None:
    assert same_bits(resumed.last_checkpoint, untouched.last_checkpoint), where
    assert same_bits(resumed.best_checkpoint, untouched.best_checkpoint), where
    assert history(resumed) == history(untouched), where
    assert not half_written(resumed.path) and untouched.history()[-1]["phase"] == "bn_reestimation"


@pytest.mark.parametrize("kills, epochs, steps_per_epoch, workers, victims", [
    pytest.param(1, 2, 8, 1, ["launcher"], id="1"),
    pytest.param(50, 12, 24, 1, ["launcher"], id="50", marks=pytest.mark.slow),
    pytest.param(13, 3, 24, 2, ["worker", "launcher", "all"], id="13-of-2-workers", marks=pytest.mark.slow)])
def test_killed_and_resumed_is_the_same(kills, epochs, steps_per_epoch, workers, victims, tmp_path):
    seed = np.random.SeedSequence().entropy
    random = np.random.default_rng(seed)
    config, started = write_config(tmp_path, epochs, steps_per_epoch, workers), time.monotonic()
    untouched = TrainingProcesses(config, tmp_path / "untouched", workers)
    untouched.finish()
    moments = plan(kills, (epochs - 1) * steps_per_epoch, random)   # a busy machine may overshoot, into the last epoch
    counted = kill_and_resume(config, tmp_path / "run", moments, victims, random, workers)
    check_same(RunFolder.open(tmp_path / "run"), untouched.run, f"seed {seed}, {moments}, {dict(counted)}")
    figures = ", ".join(f"{count} {name}" for name, count in counted.items())
    seconds = time.monotonic() - started
    print(f"\n{workers} worker(s): {figures}; {kills} resumes, bit-identical; {seconds:.0f} s; seed {seed}")
    # Writers whose launcher was killed may finish their file first.
    assert counted["kills"] > 0.9 * kills and counted["while writing"] > (kills / 4 if victims == ["launcher"] else 0)
