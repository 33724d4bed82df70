"""Whole runs of a small net on the digits, in this process."""

import os
import shutil
import signal

import numpy as np
import pytest

from msnoah.errors import CheckpointError, ConfigError, TrainingError
from msnoah.nn import step_inputs
from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state
from msnoah.training.evaluator import evaluate_run
from msnoah.training.optimizers import AdamW
from msnoah.training.schedules import learning_rate
from msnoah.training.trainer import train

TIMES = {"seconds", "cpu_seconds", "images_per_s", "steps_per_cpu_s", "data_wait"}
EVERYTHING = {"accumulate": 2, "ema_decay": 0.9, "mixup": {}, "progressive_norm": {"steps": 3, "warm_steps": 1},
              "bn_reestimation_epochs": 1, "label_smoothing": 0.1, "clip_grad_norm": 1.0}


def history(run) -> list[dict]:
    return [{key: value for key, value in record.items() if key not in TIMES} for record in run.history()]


def same_bits(one, other) -> bool:
    arrays, expected = read_state(one)[0], read_state(other)[0]
    return arrays.keys() == expected.keys() and all(np.array_equal(arrays[name], expected[name]) for name in arrays)


def test_learns_the_digits_and_evaluates_what_it_kept(make_config, make_run):
    config = make_config(epochs=6, batch_size=60)
    run = make_run(config)
    record = train(config, run)
    assert record["best_top1"] > 0.9   # a linear classifier's level; 0.1 is guessing
    assert record["majority_class_rate"] == pytest.approx(0.1, abs=0.01)
    assert (record["epochs"], record["resumed"], record["steps"]) == (6, "no", 6 * (1442 // 60))
    assert [r["epoch"] for r in run.history()] == list(range(1, 7))
    numbers = {"epoch", "phase", "step", "lr", "train_loss", "val_loss", "val_top1", "val_top5", "layer_norm_share"}
    assert set(run.history()[0]) == numbers | TIMES
    assert run.config().data.classes == [str(digit) for digit in range(10)]
    best = evaluate_run(run)
    assert best["top1"] == record["best_top1"] == max(r["val_top1"] for r in run.history())
    assert evaluate_run(run, checkpoint="last")["top1"] == record["last_top1"]
    assert np.sum(best["confusion"]) == best["images"]


@pytest.mark.parametrize("settings", [
    pytest.param({"optimizer": {"name": "sgd", "lr": 0.05, "nesterov": True}, "mode": "pynative", "batch_size": 480},
                 id="sgd-pynative"),
    pytest.param({"amp_level": "O2", "batch_size": 480}, id="O2"),
    pytest.param(EVERYTHING, id="everything"),
    pytest.param({"mode": "pynative"}, id="pynative", marks=pytest.mark.slow)])
def test_an_interrupted_run_goes_on_bit_for_bit(settings, make_config, make_run, monkeypatch):
    config = make_config(model_args={"drop_path_rate": 0.3}, **settings)
    whole, parts = make_run(config, "whole"), make_run(config, "parts")
    train(config, whole)
    calls, set_share = [], step_inputs.set_layer_norm_share

    def interrupting(model, share):
        calls.append(share)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        set_share(model, share)

    monkeypatch.setattr(step_inputs, "set_layer_norm_share", interrupting)
    with pytest.raises(TrainingError, match="interrupted at epoch 1, step 2; go on with --resume"):
        train(config, parts)
    assert train(config, parts, resume=True)["resumed"] == "yes"
    assert same_bits(parts.last_checkpoint, whole.last_checkpoint)
    assert same_bits(parts.best_checkpoint, whole.best_checkpoint)
    assert history(parts) == history(whole)


def test_every_step_gets_its_own_rate_and_number(make_config, make_run, monkeypatch):
    config = make_config(schedule={"name": "cosine", "warmup_epochs": 1}, mode="pynative")
    seen, step_scalars = [], AdamW.step_scalars

    def recording(self, lr, step):
        seen.append((lr, step))
        return step_scalars(self, lr, step)

    monkeypatch.setattr(AdamW, "step_scalars", recording)
    train(config, make_run(config))
    assert seen == [(learning_rate(step, config.train, 6), step) for step in range(12)]


def test_last_checkpoint_is_what_was_measured_last(make_config, make_run):
    """With averaging and re-estimation, too: the weights under their own names are the ones of the last val_top1."""
    config = make_config(epochs=1, batch_size=120, ema_decay=0.5)
    run = make_run(config)
    record = train(config, run)
    last = evaluate_run(run, checkpoint="last")
    assert (last["top1"], last["loss"]) == (record["last_top1"], run.history()[-1]["val_loss"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What `train` gave for one epoch, and where the run lies; tests work on copies."""
    results = []

    def once(config) -> tuple[dict, RunFolder]:
        if not results:
            run = RunFolder.create(tmp_path_factory.mktemp("trained") / "run", config)
            results.extend([train(config, run), run])
        return tuple(results)

    return once


@pytest.fixture
def finished(make_config, trained, tmp_path):
    """The config of one epoch, a run that was trained by it, and what `train` gave."""
    config = make_config(epochs=1)
    record, run = trained(config)
    return config, RunFolder(shutil.copytree(run.path, tmp_path / "run")), record


def test_a_finished_run_stays_as_it_is(finished, capsys):
    config, run, first = finished
    before = run.last_checkpoint.read_bytes()
    again = train(config, run, resume=True)
    assert again == {**first, "resumed": "finished already"}
    assert "finished already, after 1 epochs" in capsys.readouterr().err
    assert run.last_checkpoint.read_bytes() == before


def test_a_run_killed_before_its_first_checkpoint_starts_again(finished, make_run):
    config, whole, _ = finished
    killed = make_run(config, "killed")
    train(config, killed, resume=True)
    assert same_bits(killed.last_checkpoint, whole.last_checkpoint)


def test_history_after_the_checkpoint_is_dropped(finished):
    config, run, _ = finished
    expected = run.history()
    run.append_history({"epoch": 2, "val_top1": 1.0})   # as a kill between the two files leaves it
    train(config, run, resume=True)
    assert run.history() == expected


def test_what_cannot_be_resumed_says_why(finished, make_config, tmp_path):
    config, run, _ = finished
    with pytest.raises(TrainingError, match="a run lies there already"):
        train(config, run)
    with pytest.raises(ConfigError, match=r"train.batch_size is 120, but .*run was trained with 240"):
        train(make_config(epochs=1, batch_size=120), run, resume=True)
    with pytest.raises(ConfigError, match=r"train.progressive_norm.steps is 7"):
        train(make_config(epochs=1, progressive_norm={"steps": 7}), run, resume=True)
    train(make_config(epochs=1, checkpoint_every_steps=3), run, resume=True)   # changes no number
    run.last_checkpoint.unlink()
    shutil.rmtree(run.checkpoints_path)
    with pytest.raises(TrainingError, match="nothing to resume"):
        train(config, run, resume=True)
    with pytest.raises(TrainingError, match="nothing to resume"):
        train(config, type(run)(tmp_path / "empty"), resume=True)


def test_a_weights_file_is_no_training_state(finished):
    config, run, _ = finished
    run.last_checkpoint.unlink()
    shutil.rmtree(run.checkpoints_path)
    os.link(run.best_checkpoint, run.last_checkpoint)
    with pytest.raises(CheckpointError, match="lacks 'state'"):
        train(config, run, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(make_config, make_run):
    schedule = {"name": "step", "milestones": [1], "gamma": 1e9}   # a good epoch first
    config = make_config(epochs=3, optimizer={"name": "sgd", "lr": 0.01}, schedule=schedule)
    run = make_run(config)
    with pytest.raises(TrainingError, match=r" not finite at epoch [23], step \d+; last.ckpt holds the last good"):
        train(config, run)
    assert all(np.isfinite(array).all() for array in read_state(run.last_checkpoint)[0].values())


@pytest.mark.parametrize("change, error", [
    ({"batch_size": 700, "accumulate": 3}, "train.accumulate is 3, but an epoch has only 2 batches of 700"),
    ({"schedule": {"cooldown_epochs": 9}}, "cooldown_epochs is 9, expected less than train.epochs"),
])
def test_settings_that_do_not_fit_together(change, error, make_config, make_run):
    config = make_config(**change)
    with pytest.raises(ConfigError, match=error):
        train(config, make_run(config))


def test_classes_of_the_model_must_be_those_of_the_data(make_config, make_run):
    config = make_config(model_args={"num_classes": 7})
    with pytest.raises(ConfigError, match="model.args.num_classes is 7, but the data has 10 classes"):
        train(config, make_run(config))


def test_a_missing_checkpoint_is_named(make_config, make_run):
    config = make_config()
    with pytest.raises(CheckpointError, match="no such checkpoint; expected 'best', 'last' or the path"):
        evaluate_run(make_run(config), checkpoint="best")
