"""Several workers: the numbers of one, errors that reach the console, and no process that stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from test_trainer import same_bits

from msnoah.errors import TrainingError
from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state
from msnoah.training.launcher import launch

HERE = Path(__file__).parent
CONFIG = """
model: {name: small_net_for_training_tests, args: {drop_path_rate: 0.3}}
data: {source: digits, image_size: 8, channels: 1, mean: [0.3], std: [0.38], augment: {crop: padded, padding: 1}}
train:
  epochs: 9
  batch_size: 240
  mixup: {}
  ema_decay: 0.9
  checkpoint_every_steps: 2
  optimizer: {name: sgd, lr: 0.05}
"""
# 54 steps; the difference that is left is the order in which float32 sums are taken
ROWS = {
    "no BatchNorm": "  progressive_norm: {steps: 1, warm_steps: 1000}\n",
    "SyncBatchNorm": "  sync_batch_norm: true\n  progressive_norm: {steps: 20}\n  bn_reestimation_epochs: 1\n",
    "accumulated": "  accumulate: 2\n  sync_batch_norm: true\n  progressive_norm: {steps: 20}\n  non_finite: skip\n",
}


@pytest.fixture
def make_job(tmp_path, monkeypatch):
    """make_job(name, yaml, *arguments): a new run and the program that trains it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parents[1])]))
    monkeypatch.setenv("GLOG_v", "3")

    def make(name: str, yaml: str = ROWS["SyncBatchNorm"], *arguments: str) -> tuple[RunFolder, list[str]]:
        config = tmp_path / f"{name}.yaml"
        config.write_text(CONFIG + yaml)
        run = RunFolder(tmp_path / name)
        run.path.mkdir()
        return run, [str(HERE / "small_net_job.py"), str(config), "--run", str(run.path), *arguments]

    return make


def train_alone(program: list[str]) -> None:
    subprocess.run([sys.executable, *program], check=True, capture_output=True)


def arrays_of(run: RunFolder) -> dict[str, np.ndarray]:
    return read_state(run.last_checkpoint)[0]


@pytest.mark.parametrize("row", [
    pytest.param("no BatchNorm", marks=pytest.mark.slow), "SyncBatchNorm",
    pytest.param("accumulated", marks=pytest.mark.slow)])
def test_two_workers_train_what_one_does(row, make_job):
    (alone, program), (together, shared) = make_job("one", ROWS[row]), make_job("two", ROWS[row])
    train_alone(program)
    record = launch(shared, 2, together, "CPU")
    assert record["workers"] == 2 and record["steps"] == (27 if row == "accumulated" else 54)
    before, after = arrays_of(alone), arrays_of(together)
    worst = {name: float(np.abs(before[name] - after[name]).max()) for name in before}
    assert max(worst.values()) <= 1e-6, max(worst.items(), key=lambda pair: pair[1])
    assert np.allclose(losses(alone), losses(together), rtol=0, atol=1e-6)


def losses(run: RunFolder) -> list[float]:
    return [record["train_loss"] for record in run.history() if "train_loss" in record]


class Job:
    """`launch` in a process of its own, which a test can signal."""

    def __init__(self, run: RunFolder, program: list[str]):
        self.run = run
        code = ("import sys; from msnoah.training.launcher import launch; from msnoah.run_folder import RunFolder\n"
                f"launch(sys.argv[1:], 2, RunFolder({str(run.path)!r}), 'CPU')")
        self.process = subprocess.Popen([sys.executable, "-c", code, *program], stderr=subprocess.PIPE, text=True)

    def wait_for_state(self, steps: int) -> None:
        """Until a state of so many steps is on the disk."""
        while not any(int(path.stem) >= steps for path in self.run.kept_checkpoints()):
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.02)

    def workers(self) -> list[psutil.Process]:
        """The processes that train, by rank."""
        (msrun,) = psutil.Process(self.process.pid).children()
        return sorted((p for p in msrun.children() if os.getsid(p.pid) == p.pid), key=lambda p: p.environ()["RANK_ID"])


def descendants(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive, alive


@pytest.mark.parametrize("yaml", [
    ROWS["SyncBatchNorm"],
    # a worker that kept its own weights would go on otherwise than one that read the first one's from the disk
    pytest.param(ROWS["SyncBatchNorm"] + "checkpoint: {compression: excp, preset: extreme, continue_every: 1}\n",
                 marks=pytest.mark.slow)], ids=["plain", "from compressed states"])
def test_a_signal_stops_all_after_their_step_and_they_go_on_in_the_same_bits(yaml, make_job):
    short = [yaml, "--set", "train.epochs=3"]
    (untouched, program), (run, shared) = make_job("untouched", *short), make_job("stopped", *short)
    launch(program, 2, untouched, "CPU")
    job = Job(run, shared)
    job.wait_for_state(6)
    started = descendants(job.process)
    job.process.terminate()
    _, said = job.process.communicate(timeout=120)
    assert "TrainingError: interrupted at epoch" in said and "go on with --resume" in said, said
    assert_gone(started)
    launch([*shared, "--resume"], 2, run, "CPU")
    assert same_bits(run.last_checkpoint, untouched.last_checkpoint)
    assert same_bits(run.best_checkpoint, untouched.best_checkpoint)


@pytest.mark.slow
def test_a_killed_worker_is_named_and_none_stays(make_job):
    run, program = make_job("killed")
    job = Job(run, program)
    job.wait_for_state(2)
    started = descendants(job.process)
    job.workers()[1].kill()
    _, said = job.process.communicate(timeout=120)
    assert f"worker 1 was killed by SIGKILL; its log: {run.workers_path}/worker_1.log" in said, said
    assert_gone(started)


@pytest.mark.slow
def test_workers_end_with_a_killed_launcher(make_job):
    run, program = make_job("orphaned")
    job = Job(run, program)
    job.wait_for_state(2)
    workers = job.workers()
    job.process.kill()
    assert_gone(workers)
    job.process.communicate()


@pytest.mark.slow
def test_one_run_has_one_launcher(make_job):
    run, program = make_job("busy")
    job = Job(run, program)
    job.wait_for_state(2)
    with pytest.raises(TrainingError, match="workers of another command are training this run"):
        launch(program, 2, run, "CPU")
    job.process.send_signal(signal.SIGTERM)
    job.process.communicate(timeout=120)


@pytest.mark.slow
def test_what_a_worker_says_is_the_error(make_job):
    run, program = make_job("wrong")
    with pytest.raises(TrainingError, match="takes no argument 'widht'; did you mean 'width'"):
        launch([*program, "--set", "model.args.widht=3"], 2, run, "CPU")
