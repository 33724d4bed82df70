"""States that a run keeps: which stay, and what it goes on from when some are damaged or could not be written."""

import errno
import os
import resource
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from damage import cut_short, empty, flip_a_bit
from test_trainer import history, same_bits

from msnoah.checkpoint_config import CheckpointConfig
from msnoah.compression.chain import Chain
from msnoah.errors import CheckpointError, RunFolderError, TrainingError
from msnoah.nn import step_inputs
from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state, save_state
from msnoah.training import resumption
from msnoah.training.last_checkpoint import SavedRun, read_saved_run
from msnoah.training.state_keeper import StateKeeper
from msnoah.training.trainer import train

STEPS = 6
SETTINGS = {"epochs": 3, "batch_size": 700, "mode": "pynative", "checkpoint_every_steps": 1,
            "bn_reestimation_epochs": 1, "ema_decay": 0.5}


def before_step(number: int, act, monkeypatch) -> None:
    """Calls `act` before the step of this number of the process, from 1 on."""
    calls, set_share = [], step_inputs.set_layer_norm_share

    def acting(model, share):
        calls.append(share)
        if len(calls) == number:
            act()
        set_share(model, share)

    monkeypatch.setattr(step_inputs, "set_layer_norm_share", acting)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The config, an untouched run, and one that was killed in the fifth of six steps and kept all states."""
    made = []

    def once(make_config):
        if not made:
            config = make_config(**SETTINGS)
            config.checkpoint = CheckpointConfig(keep_last="all")
            folder = tmp_path_factory.mktemp("runs")
            whole, killed = [RunFolder.create(folder / name, config) for name in ("whole", "killed")]
            train(config, whole)
            with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(ZeroDivisionError):
                before_step(5, lambda: 1 / 0, monkeypatch)
                train(config, killed)
            made.extend([config, whole, killed])
        return made

    return once


@pytest.fixture
def killed(runs, make_config, tmp_path):
    """The config, an untouched run, and a copy of the killed one, its links kept."""
    config, whole, run = runs(make_config)
    subprocess.run(["cp", "-a", run.path, tmp_path / "run"], check=True)
    return config, whole, RunFolder(tmp_path / "run")


def same_run(one: RunFolder, other: RunFolder) -> bool:
    same = [same_bits(getattr(one, name), getattr(other, name)) for name in ("last_checkpoint", "best_checkpoint")]
    return all(same) and history(one) == history(other)


def kept_steps(run: RunFolder) -> list[int]:
    return [int(path.stem) for path in run.kept_checkpoints()]


def leftovers(run: RunFolder) -> list[Path]:
    return list(run.path.rglob("*.tmp"))


@pytest.mark.parametrize("keep_last, kept", [
    (1, []), (2, [4, 5]), (3, [3, 4, 5]), (9, [1, 2, 3, 4, 5]), ("all", [1, 2, 3, 4, 5])])
def test_the_newest_states_stay(keep_last, kept, tmp_path):
    run = RunFolder(tmp_path)
    keeper = StateKeeper(run, keep_last)
    for step in (1, 2, 3, 4, 4, 5):
        keeper.save(SavedRun({"weight": np.full(9, step)}, {"step": step}, {}, {}))
    keeper.finish()
    assert kept_steps(run) == kept and run.checkpoints_path.exists() == bool(kept)
    assert read_state(run.last_checkpoint)[1]["state"]["step"] == 5
    for path in run.kept_checkpoints():
        assert read_state(path)[1]["state"]["step"] == int(path.stem)
    if kept:
        assert os.path.samefile(run.kept_checkpoints()[-1], run.last_checkpoint), "no second copy on the disk"
    assert not leftovers(run)


def test_fewer_states_than_before_go_at_the_next_save(tmp_path):
    run = RunFolder(tmp_path)
    state = SavedRun({"weight": np.ones(9)}, {"step": 0}, {}, {})
    for keep_last, steps, kept in (("all", (1, 2, 3), [1, 2, 3]), (2, (4,), [3, 4]), (1, (5,), [])):
        keeper = StateKeeper(run, keep_last)
        for step in steps:
            keeper.save(state._replace(state={"step": step}))
        assert kept_steps(run) == kept
    assert not run.checkpoints_path.exists()


def test_a_copy_is_kept_where_links_are_refused(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    run = RunFolder(tmp_path)
    StateKeeper(run, 2).save(SavedRun({"weight": np.ones(9)}, {"step": 7}, {}, {}))
    assert kept_steps(run) == [7] and not os.path.samefile(run.kept_checkpoints()[0], run.last_checkpoint)
    assert run.kept_checkpoints()[0].read_bytes() == run.last_checkpoint.read_bytes()


def newest_kept_too(damage):
    def both(path: Path) -> None:
        damage(path)
        damage(path.parent / "checkpoints" / "000000004.ckpt")
    return both


@pytest.mark.parametrize("damage, lines, taken", [
    pytest.param(flip_a_bit, ["last.ckpt: damaged", "000000004.ckpt: damaged"], 3, id="flipped-bit-of-both-names"),
    pytest.param(empty, ["last.ckpt: damaged", "000000004.ckpt: damaged"], 3, id="empty"),
    pytest.param(cut_short, ["last.ckpt: damaged, or no MindSpore .ckpt: cut short"], 4, id="cut-short"),
    pytest.param(Path.unlink, ["last.ckpt: cannot be read: No such file"], 4, id="missing"),
    pytest.param(newest_kept_too(cut_short), ["last.ckpt: damaged", "000000004.ckpt: damaged"], 3, id="two-files")])
def test_the_newest_whole_state_is_taken(damage, lines, taken, killed, capsys):
    config, whole, run = killed
    damage(run.last_checkpoint)
    assert train(config, run, resume=True)["resumed"] == "yes"
    said = [line for line in capsys.readouterr().err.splitlines() if "goes on from" in line]
    assert len(said) == len(lines) and all(start in line for start, line in zip(lines, said))
    origin = f"goes on from {run.checkpoints_path}/00000000{taken}.ckpt (step {taken}, in epoch"
    assert all(origin in line for line in said)
    assert same_run(run, whole), "best.ckpt, last.ckpt and history as if nothing had been"
    assert kept_steps(run) == [1, 2, 3, 4, 5, 6] and not leftovers(run)


def test_a_finished_run_gets_its_last_state_back(runs, make_config, tmp_path, capsys):
    config, whole, _ = runs(make_config)
    run = RunFolder(shutil.copytree(whole.path, tmp_path / "run"))
    empty(run.last_checkpoint)
    assert train(config, run, resume=True)["resumed"] == "finished already"
    assert "last.ckpt: damaged" in capsys.readouterr().err and same_run(run, whole)
    run.history_path.unlink()
    assert train(config, run, resume=True)["last_top1"] == run.history()[0]["val_top1"]   # the state holds its record


def test_a_kept_state_that_is_newer_than_last_is_taken(killed, capsys):
    """As a power failure leaves it where a folder cannot be flushed."""
    config, whole, run = killed
    run.last_checkpoint.unlink()
    shutil.copy(run.checkpoints_path / "000000002.ckpt", run.last_checkpoint)
    train(config, run, resume=True)
    assert "last.ckpt: of step 2; to go back to it, remove the newer ones; goes on from" in capsys.readouterr().err
    assert same_run(run, whole)


def test_no_whole_state_is_an_error_that_keeps_them(killed):
    config, _, run = killed
    before = [run.last_checkpoint, *run.kept_checkpoints()]
    for path in {path.stat().st_ino: path for path in before}.values():
        flip_a_bit(path)
    with pytest.raises(CheckpointError, match=r"last.ckpt: damaged.*; 4 more are no better; put a whole state in"):
        train(config, run, resume=True)
    assert all(path.exists() for path in before)


def test_a_chain_is_the_last_resort(killed, capsys):
    """Of key frames alone here, which lose nothing, so that bits can be compared; its newest file is damaged."""
    config, whole, run = killed
    run.chain_path.mkdir()
    for path in run.kept_checkpoints()[:3]:
        Chain(run.chain_path).append_key(int(path.stem), *read_state(path))
    shutil.rmtree(run.checkpoints_path)
    flip_a_bit(run.last_checkpoint)
    cut_short(Chain(run.chain_path).paths()[-1])
    train(config, run, resume=True)
    said = capsys.readouterr().err
    assert "000000003.excp: cut short" in said
    assert "000000002.excp (step 2, in epoch 2 of 3, compressed: not in the bits of an untouched run)" in said
    assert same_run(run, whole)


@pytest.mark.parametrize("held, state, found, said", [
    pytest.param((0.8, 3), (0.5, 1), (0.8, 3), "", id="of-a-later-epoch"),   # the state is an earlier one, perhaps lossy
    pytest.param((0.5, 1), (0.8, 3), (0.5, 1), "of epoch 1; that of epoch 3, which was better, is lost",
                 id="of-an-earlier-epoch"),
    pytest.param((0.8, 3), (0.8, 3), (0.8, 3), "", id="the-same"),
    pytest.param(None, (-1.0, 0), (-1.0, 0), "", id="none-yet"),
    pytest.param(None, (0.8, 3), (-1.0, 0), "No such file or directory; the best from here on is kept", id="removed")])
def test_the_score_to_beat_is_that_of_the_best_on_the_disk(held, state, found, said, tmp_path, capsys):
    keeper = StateKeeper(RunFolder(tmp_path), 2)
    if held:
        keeper.save_best({"weight": np.ones(9)}, {"top1": held[0], "epoch": held[1]})
    assert keeper.resume_best("top1", state) == found
    assert capsys.readouterr().err.strip().endswith(said)


def test_best_that_failed_is_written_at_the_next_save(tmp_path, monkeypatch, capsys):
    run, refusal = RunFolder(tmp_path), Refusal(monkeypatch, tmp_path)
    keeper = StateKeeper(run, 2)
    refusal.begin()
    keeper.save_best({"weight": np.ones(9)}, {"epoch": 1})
    refusal.end()
    said = capsys.readouterr().err
    assert "best.ckpt: cannot be written: Read-only file system; the earlier file is kept; no state is on the" in said
    keeper.save(SavedRun({"weight": np.ones(9)}, {"step": 3}, {}, {}))
    assert read_state(run.best_checkpoint)[1] == {"epoch": 1}
    keeper.finish()


def test_best_is_what_lies_on_the_disk(killed, capsys):
    config, whole, run = killed
    flip_a_bit(run.best_checkpoint)
    record = train(config, run, resume=True)
    assert "best.ckpt: damaged: its bytes do not match its checksum; the best from here on" in capsys.readouterr().err
    scores = {line["epoch"]: line["val_top1"] for line in run.history()[2:]}
    assert record["best_top1"] == max(scores.values()) == scores[record["best_epoch"]]
    assert read_state(run.best_checkpoint)[1]["epoch"] == record["best_epoch"]


@pytest.mark.parametrize("lines, step, found, said", [
    pytest.param(1, 4, 2, "", id="killed-after-the-state"),   # its own line was not written yet
    pytest.param(2, 3, 1, "", id="of-an-earlier-state"),
    pytest.param(0, 3, 0, "history.jsonl: 1 of 1 epochs are missing in it", id="lost")])
def test_history_is_that_of_the_state(lines, step, found, said, killed, capsys):
    _, whole, run = killed
    run.write_history(run.history()[:lines])
    saved = read_saved_run(run.checkpoints_path / f"00000000{step}.ckpt")
    StateKeeper(run, 2).resume(saved, step // 2)
    assert history(run) == history(whole)[:found] and capsys.readouterr().err.strip().endswith(said)


def test_leftovers_of_kills_are_removed(killed):
    config, _, run = killed
    for folder in (run.path, run.checkpoints_path):
        (folder / ".last.ckpt.123.tmp").write_text("half")
    resumption.find_saved_run(run, resume=True)
    assert not leftovers(run)


class SizeLimit:
    """The system lets no file grow beyond this; the lines of history still fit."""

    reason = "File too large"

    def __init__(self, monkeypatch, folder: Path):
        self.earlier = resource.getrlimit(resource.RLIMIT_FSIZE)

    def begin(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, self.earlier[1]))

    def end(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.earlier)


class FullDisk:
    """A small file system with a file on it that takes all that was left."""

    reason = "No space left on device"

    def __init__(self, monkeypatch, folder: Path):
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
        mounted = subprocess.run(command, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
        self.folder, self.ballast = folder, folder / "ballast"

    def begin(self) -> None:
        with open(self.ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC

    def end(self) -> None:
        self.ballast.unlink(missing_ok=True)


class Refusal:
    """Every rename in the run's folder is refused, as by a file system that was mounted anew, read-only."""

    reason = "Read-only file system"

    def __init__(self, monkeypatch, folder: Path):
        self.patch, self.replace, self.link = monkeypatch, os.replace, os.link

    def begin(self) -> None:
        def refuse(*arguments, **options):
            raise OSError(errno.EROFS, self.reason)

        self.patch.setattr(os, "replace", refuse)
        self.patch.setattr(os, "link", refuse)

    def end(self) -> None:
        self.patch.setattr(os, "replace", self.replace)
        self.patch.setattr(os, "link", self.link)


@pytest.fixture(params=[SizeLimit, FullDisk, Refusal])
def fault(request, monkeypatch, tmp_path):
    folder = tmp_path / "disk"
    fault = request.param(monkeypatch, folder)
    yield fault
    fault.end()
    if request.param is FullDisk:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_full_for_a_while_costs_lines_alone(fault, runs, make_config, tmp_path, monkeypatch, capsys):
    config, whole, _ = runs(make_config)
    run = RunFolder.create(tmp_path / "disk" / "run", config)
    before_step(2, fault.begin, monkeypatch)   # the first epoch's end and its best.ckpt, too
    before_step(5, fault.end, monkeypatch)
    train(config, run)
    failed = [line for line in capsys.readouterr().err.splitlines() if "training goes on" in line]
    start = f"{run.last_checkpoint}: cannot be written: {fault.reason}; the earlier file is kept"
    assert failed.count(f"{start}; the last good state on the disk is of step 1; training goes on") == 3
    assert same_run(run, whole) and not leftovers(run)
    assert kept_steps(run) == [1, 5, 6]


def test_a_disk_that_stays_full_fails_the_run_at_its_end(fault, killed, tmp_path, monkeypatch):
    config, whole, run = killed
    run = RunFolder(shutil.copytree(run.path, tmp_path / "disk" / "run"))
    before_step(2, fault.begin, monkeypatch)
    message = f"last.ckpt: cannot be written: {fault.reason}; .* is of step 5; make room"
    with pytest.raises(RunFolderError, match=message) as caught:
        train(config, run, resume=True)
    assert caught.value.exit_code == 2 and not leftovers(run)
    fault.end()
    assert train(config, run, resume=True)["resumed"] == "yes"
    assert same_run(run, whole)


def test_an_interruption_that_cannot_save_says_so(killed, monkeypatch):
    config, whole, run = killed
    refusal = Refusal(monkeypatch, run.path)

    def interrupt():
        refusal.begin()
        os.kill(os.getpid(), 2)

    before_step(1, interrupt, monkeypatch)
    with pytest.raises(RunFolderError, match="Read-only file system; .* is of step 4; make room"):
        train(config, run, resume=True)
    refusal.end()
    train(config, run, resume=True)
    assert same_run(run, whole)


def test_a_new_run_does_not_begin_where_states_are_kept(killed):
    config, _, run = killed
    run.last_checkpoint.unlink()
    run.history_path.unlink()
    with pytest.raises(TrainingError, match="a run lies there already"):
        train(config, run)
    with pytest.raises(RunFolderError, match="holds a run already"):
        RunFolder.create(run.path, config)


def test_states_from_before_they_held_their_history_go_on(killed):
    """Their lines are in history.jsonl, which was written first then."""
    config, whole, run = killed
    arrays, metadata = read_state(run.last_checkpoint)
    del metadata["history"]
    save_state(run.last_checkpoint, arrays, metadata)
    train(config, run, resume=True)
    assert same_run(run, whole)
