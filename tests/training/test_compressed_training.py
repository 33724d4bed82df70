"""Runs that keep a chain of compressed states: what is in it, and what a resumed run comes to."""

import os
import shutil
import signal
from typing import get_args

import pytest
from test_trainer import history, same_bits

from msnoah.checkpoint_config import CheckpointConfig
from msnoah.compression.block_file import read_record
from msnoah.compression.chain import Chain
from msnoah.compression.compressing import append_state
from msnoah.compression.pending import pending_folder, pending_paths
from msnoah.compression.settings import PRESETS
from msnoah.config import RunConfig
from msnoah.errors import RunFolderError, TrainingError
from msnoah.nn import step_inputs
from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state
from msnoah.training import state_chain
from msnoah.training.state_keeper import StateKeeper
from msnoah.training.trainer import train
from tests.compression.training_states import same

STEPS = [2, 4, 6, 8, 10, 12]
DATA = {"source": "digits", "image_size": 8, "channels": 1, "mean": [0.3], "std": [0.38], "crop_fraction": 1.0}
TRAIN = {"epochs": 2, "batch_size": 240, "optimizer": {"lr": 0.01}, "checkpoint_every_steps": 2}   # 6 steps an epoch
CHECKPOINT = {"compression": "excp", "preset": "balanced", "key_frame_every": 3, "keep_last": "all"}
MODEL = {"name": "small_net_for_training_tests", "args": {"drop_path_rate": 0.3}}


def make_config(train=(), **checkpoint):
    """A run whose six states go into a chain."""
    return RunConfig(model=MODEL, data=DATA, train=TRAIN | dict(train), checkpoint=CHECKPOINT | checkpoint)


def whole_run(tmp_path_factory, **checkpoint):
    config = make_config(**checkpoint)
    run = RunFolder.create(tmp_path_factory.mktemp("whole") / "run", config)
    train(config, run)
    return run


@pytest.fixture(scope="module")
def compressed(tmp_path_factory):
    """A run to the end, which tests leave as it is."""
    return whole_run(tmp_path_factory)


@pytest.fixture(scope="module")
def replaced(tmp_path_factory):
    """Likewise; it went on from what every second state restores to."""
    return whole_run(tmp_path_factory, continue_every=2)


def restored(run):
    chain = Chain(run.chain_path)
    return {step: chain.restore(path)[0] for step, path in chain.steps().items()}


def same_chains(one, other):
    """The same states and kinds of frames; metadata has times in it, so that bytes differ."""
    states, expected = restored(one), restored(other)
    kinds = [[chain_kind(path) for path in Chain(run.chain_path).paths()] for run in (one, other)]
    return kinds[0] == kinds[1] and states.keys() == expected.keys() and all(
        same(states[step], expected[step]) for step in states)


def chain_kind(path):
    return read_record(path)["kind"]


def interrupt_at(monkeypatch, step):
    """A SIGINT before this step of a run, counted from 1."""
    calls, set_share = [], step_inputs.set_layer_norm_share

    def interrupting(model, share):
        calls.append(share)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGINT)
        set_share(model, share)

    monkeypatch.setattr(step_inputs, "set_layer_norm_share", interrupting)


def test_every_saved_state_is_in_the_chain_and_training_is_as_without_one(compressed, make_run):
    without = make_run(make_config(compression="none"))
    train(without.config(), without)
    assert same_bits(compressed.last_checkpoint, without.last_checkpoint) and history(compressed) == history(without)
    assert not without.chain_path.exists()
    chain = Chain(compressed.chain_path)
    assert list(chain.steps()) == STEPS and not pending_paths(chain.folder)
    assert [chain_kind(path) for path in chain.paths()] == ["key", "change", "change"] * 2
    for step, arrays in restored(compressed).items():
        kept, metadata = read_state(compressed.checkpoints_path / f"{step:09d}.ckpt")
        assert metadata == chain.restore(chain.steps()[step])[1]
        assert same(arrays, kept) == (step in (2, 8))   # key frames lose nothing
        assert all(arrays[name].tobytes() == kept[name].tobytes() for name in kept if "moving" in name)


@pytest.mark.parametrize("kind, at", [
    ("replaced", 6), pytest.param("replaced", 9, marks=pytest.mark.slow),
    pytest.param("compressed", 4, marks=pytest.mark.slow)])
def test_an_interrupted_run_comes_to_the_same_chain_and_weights(kind, at, request, make_run, monkeypatch):
    whole = request.getfixturevalue(kind)
    config = whole.config()
    parts = make_run(config)
    interrupt_at(monkeypatch, at)
    with pytest.raises(TrainingError, match="interrupted at"):
        train(config, parts)
    train(config, parts, resume=True)
    assert same_bits(parts.last_checkpoint, whole.last_checkpoint)
    assert same_chains(parts, whole) and history(parts) == history(whole)


def test_training_goes_on_from_what_every_nth_state_restores_to(compressed, replaced):
    states = restored(replaced)
    for step in STEPS:
        kept = read_state(replaced.checkpoints_path / f"{step:09d}.ckpt")[0]
        assert same(kept, states[step]) == (step in (2, 4, 8)), step   # 2 and 8 are key frames, 12 is the last of all
    first = [read_state(run.checkpoints_path / "000000004.ckpt")[0] for run in (replaced, compressed)]
    assert not same(*first) and not same_bits(replaced.last_checkpoint, compressed.last_checkpoint)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kind, place", [
    ("replaced", (StateKeeper, "save")),   # before last.ckpt: a replaced state is in the chain already
    ("compressed", (state_chain.BackgroundCompressor, "add"))])   # after last.ckpt, before the state waits
def test_a_kill_around_a_save_leaves_no_gap(kind, place, request, make_run, monkeypatch):
    whole = request.getfixturevalue(kind)
    config, calls, original = whole.config(), [], getattr(*place)
    parts = make_run(config)

    def killing(*arguments, **named):
        calls.append(arguments)
        if len(calls) == 2:
            raise Killed
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(*place, killing)
        with pytest.raises(Killed):
            train(config, parts)
    train(config, parts, resume=True)
    assert same_bits(parts.last_checkpoint, whole.last_checkpoint) and same_chains(parts, whole)


def test_states_that_wait_are_compressed_on_resume_and_later_ones_go(compressed, tmp_path):
    run, expected = RunFolder(tmp_path / "run"), restored(compressed)
    shutil.copytree(compressed.path, run.path)
    Chain(run.chain_path).truncate(after=8)
    for step in (10, 12):   # as a kill leaves them
        os.link(run.checkpoints_path / f"{step:09d}.ckpt", pending_folder(run.chain_path) / f"{step:09d}.ckpt")
    os.link(run.last_checkpoint, pending_folder(run.chain_path) / f"{14:09d}.ckpt")
    (run.chain_path / f"{16:09d}.excp").write_bytes(b"")
    assert train(run.config(), run, resume=True)["resumed"] == "finished already"
    found = restored(run)
    assert list(found) == STEPS and all(same(found[step], expected[step]) for step in STEPS)
    assert not pending_paths(run.chain_path)


def test_after_re_estimation_the_last_state_is_the_one_in_the_chain(make_run):
    averages = {"epochs": 1, "batch_size": 480, "bn_reestimation_epochs": 1, "ema_decay": 0.9}
    config = make_config(averages, key_frame_every=9, continue_every=1)
    run = make_run(config)
    train(config, run)
    assert list(Chain(run.chain_path).steps()) == [2, 3]
    weights, expected = restored(run)[3], read_state(run.last_checkpoint)[0]
    statistics = [name for name in expected if "moving" in name]
    assert statistics and all(weights[name].tobytes() == expected[name].tobytes() for name in statistics)


def test_a_replaced_state_that_cannot_be_written_costs_a_line(make_run, monkeypatch, capsys):
    config = make_config(continue_every=2)
    run = make_run(config)

    def refusing(chain, step, *rest):
        if step == 4:
            raise RunFolderError("chain/000000004.excp: cannot be written: No space left on device")
        return append_state(chain, step, *rest)

    monkeypatch.setattr(state_chain, "append_state", refusing)
    train(config, run)
    assert "No space left on device; training goes on from step 4 as it is" in capsys.readouterr().err
    assert list(Chain(run.chain_path).steps()) == STEPS   # the background process could write it a moment later


def test_presets_of_the_config_are_those_of_the_core():
    assert set(get_args(CheckpointConfig.model_fields["preset"].annotation)) == set(PRESETS)
