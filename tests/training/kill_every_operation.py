"""A script: a run of eight steps whose process is killed before each of its file operations in turn, and goes on.

python kill_every_operation.py FOLDER KEEP_LAST prints the operations of the untouched run. The states are made up, what
writes and finds them is the trainer's own. It imports no MindSpore, so that it can fork without its threads.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from file_operations import kill_before

from msnoah.run_folder import RunFolder
from msnoah.run_lock import RunLock
from msnoah.training.last_checkpoint import SavedRun
from msnoah.training.resumption import find_saved_run
from msnoah.training.state_keeper import StateKeeper

STEPS, STEPS_PER_EPOCH = 8, 2
SCORES = [0.2, 0.7, 0.6, 0.7]   # of the epochs: the best is not the last, and a later one equals it
CONFIG = {"train": {"epochs": STEPS // STEPS_PER_EPOCH}}


def train(path: Path, keep_last: int | str, saving: Callable[[int], None] = lambda step: None) -> int:
    """Goes on to the last step; gives the step that it began after. `saving` is told of each state before its save."""
    run = RunFolder(path)
    with RunLock(path):
        saved, keeper = find_saved_run(run, resume=True), StateKeeper(run, keep_last)
        steps, best = 0, (-1.0, 0)
        if saved:
            keeper.resume(saved, saved.state["epoch"])
            steps = saved.steps
            best = keeper.resume_best("top1", (saved.state["best_score"], saved.state["best_epoch"]))
        for step in range(steps + 1, STEPS + 1):
            saving(step)
            best = save(keeper, step, best)
        keeper.finish()
    return steps


def save(keeper: StateKeeper, step: int, best: tuple[float, int]) -> tuple[float, int]:
    arrays = {"weight": np.random.default_rng(step).normal(size=99).astype(np.float32)}
    epoch, record = step // STEPS_PER_EPOCH, None
    if step % STEPS_PER_EPOCH == 0:
        record = {"epoch": epoch, "val_top1": SCORES[epoch - 1]}
        if SCORES[epoch - 1] > best[0]:
            best = SCORES[epoch - 1], epoch
            keeper.save_best(arrays, {"epoch": epoch, "top1": best[0]})
    state = {"step": step, "epoch": epoch, "best_score": best[0], "best_epoch": best[1]}
    keeper.save(SavedRun(arrays, state, {}, CONFIG), record)
    return best


def killed_run(path: Path, keep_last: int | str, number: int) -> tuple[bool, list[int]]:
    """Whether a process was killed before its operation of this number, and the states that it began to save."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        kill_before(number)
        train(path, keep_last, lambda step: os.write(writing, bytes([step])))
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        begun = list(pipe.read())
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"operation {number}: exit status {status}"
    return status == signal.SIGKILL, begun


def new_folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    (path / "config.yaml").write_text("none")
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*"))
            if file.is_file() and file.name != ".lock"}


def check_kill(folder: Path, keep_last: int | str, number: int, expected: dict[str, bytes]) -> bool:
    """Kills once, then once more before the same operation of the second process, then lets the third end."""
    path = new_folder(folder / "killed")
    killed, begun = killed_run(path, keep_last, number)
    again, later = killed_run(path, keep_last, number)
    safe = max([0, *begun[:-1], *later[:-1]])   # the one before the last begun was on the disk as a whole
    steps = train(path, keep_last)
    assert steps >= safe, f"operation {number}: goes on from step {steps}, but {safe} was saved"
    assert contents(path) == expected, f"operation {number}: {sorted(contents(path))}, not {sorted(expected)}"
    return killed


def main() -> None:
    folder, keep_last = Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2].isdigit() else sys.argv[2]
    train(new_folder(folder / "whole"), keep_last)
    expected, number = contents(folder / "whole"), 1
    while check_kill(folder, keep_last, number, expected):
        number += 1
    print(f"{number - 1} kills")


if __name__ == "__main__":
    main()
