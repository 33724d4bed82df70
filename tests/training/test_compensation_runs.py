"""Runs of ToCom's pre-training, and runs that train a part of a model: from config to checkpoints, and what is
refused."""

import os
import shutil
import signal

import numpy as np
import pytest
from small_tocom import NAME, SIZES, save_body, small_tocom, values
from test_trainer import history, same_bits

from msnoah.checkpoint import load_checkpoint, save_weights
from msnoah.config import RunConfig
from msnoah.data.sources import open_source
from msnoah.errors import CheckpointError, ConfigError, TrainingError
from msnoah.nn import step_inputs
from msnoah.registry import create_model
from msnoah.state_file import read_state
from msnoah.train_config import CompensationConfig, TrainConfig
from msnoah.training.evaluator import evaluate_run
from msnoah.training.interruption import Interruption
from msnoah.training.trainer import Trainer, train, with_classes
from msnoah.weight_names import is_plugin

DATA = {"source": "digits", "image_size": 8, "channels": 1, "mean": [0.3], "std": [0.38], "crop_fraction": 1.0}
PAIR = {"source_degree": 2, "tokens_merged": 5}


def pretraining(checkpoint, model=None, **settings) -> RunConfig:
    model = {"name": NAME, "checkpoint": checkpoint, "args": {**SIZES, **PAIR, "drop_path_rate": 0.3}} | (model or {})
    usual = {"epochs": 1, "batch_size": 700, "compensation": {"degrees": [0, 5]}, "optimizer": {"lr": 0.01}}
    return RunConfig(model=model, data=DATA, train=usual | settings)


def interrupt_before(step: int, monkeypatch) -> None:
    calls, draw_drops = [], step_inputs.draw_drops

    def interrupting(model, random, shard):
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGINT)
        draw_drops(model, random, shard)

    monkeypatch.setattr(step_inputs, "draw_drops", interrupting)


EVERYTHING = {"mode": "graph", "epochs": 2, "batch_size": 120, "accumulate": 2, "clip_grad_norm": 1e-4,
              "ema_decay": 0.9, "mixup": {}, "compensation": {"degrees": [0, 2], "temperature": 2.0}, "repeats": 3}


def check_pretrained(run, body) -> None:
    found, before = read_state(run.last_checkpoint)[0], read_state(body)[0]
    assert all(np.array_equal(found[name], before[name]) for name in before), "the body keeps its bits"
    assert all(is_plugin(name) for name in found if name.startswith("optimizer.")), "frozen weights have no moments"
    assert 0 < run.history()[0]["train_loss"] < 0.1
    assert evaluate_run(run, checkpoint="last")["loss"] == run.history()[-1]["val_loss"], "at the config's degrees"


def test_a_run_trains_the_plugin_alone(tmp_path, make_run):
    body = save_body(tmp_path / "body.ckpt")
    config = pretraining(body, mode="pynative")
    run = make_run(config)
    train(config, run)
    check_pretrained(run, body)


@pytest.mark.slow
@pytest.mark.parametrize("settings, interrupted_at", [
    pytest.param({"mode": "pynative"}, 1, id="pynative"), pytest.param(EVERYTHING, 5, id="graph")])
def test_an_interrupted_pre_training_goes_on_bit_for_bit(settings, interrupted_at, tmp_path, make_run, monkeypatch):
    body = save_body(tmp_path / "body.ckpt")
    config = pretraining(body, **settings)
    whole, parts = make_run(config, "whole"), make_run(config, "parts")
    assert train(config, whole)["compile_seconds"] > 0
    interrupt_before(interrupted_at, monkeypatch)
    with pytest.raises(TrainingError, match="interrupted at epoch 1"):
        train(config, parts)
    assert train(config, parts, resume=True)["resumed"] == "yes"
    assert same_bits(parts.last_checkpoint, whole.last_checkpoint)
    assert same_bits(parts.best_checkpoint, whole.best_checkpoint)
    assert history(parts) == history(whole)
    check_pretrained(whole, body)


def test_only_a_plugin_may_be_missing_from_the_starting_weights(tmp_path, make_run):
    body, other = save_body(tmp_path / "body.ckpt"), save_body(tmp_path / "other.ckpt", num_classes=7)
    with pytest.raises(CheckpointError, match="the head is of 7 classes, not 10"):
        train(pretraining(other), make_run(pretraining(other), "other"))
    model = create_model(NAME, image_size=8, in_channels=1, num_classes=10, **SIZES)
    down = model.blocks[0].attn.q_tocom.adapter_down.weight.asnumpy().copy()
    report = load_checkpoint(model, body, new_plugin=True)
    assert not report.missing and np.array_equal(model.blocks[0].attn.q_tocom.adapter_down.weight.asnumpy(), down)
    with pytest.raises(CheckpointError, match="the file has no ToCom plugin"):
        load_checkpoint(model, body)


def test_a_plugin_file_goes_with_the_configured_checkpoint(tmp_path, make_run):
    body, full = save_body(tmp_path / "body.ckpt"), small_tocom(seed=5)
    save_weights(full, tmp_path / "plugin.ckpt", {})
    config = pretraining(body, {"name": NAME, "checkpoint": body, "plugin": str(tmp_path / "plugin.ckpt"),
                                "args": {**SIZES, **PAIR}}, mode="pynative", compensation=None)
    sources = [open_source(config.data, split) for split in ("train", "val")]
    config = with_classes(config, sources[0])
    run = make_run(config)
    trainer = Trainer(config, run, *sources, Interruption())
    found, expected = values(trainer.model, plugin=True), values(full, plugin=True)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    with pytest.raises(CheckpointError, match="the file has no ToCom plugin"):
        evaluate_run(run, checkpoint=shutil.copy(body, tmp_path / "copy.ckpt"))
    assert evaluate_run(run, checkpoint=body)["images"] == 355


WRONG = [
    ("name", {"name": "deit_tiny_patch16_224", "args": SIZES}, {}, "model.name deit_tiny_patch16_224 has none"),
    ("checkpoint", {"checkpoint": None}, {}, "name them by model.checkpoint"),
    ("list", {"args": {**SIZES, "tokens_merged": [1, 2]}}, {}, r"args gives tokens_merged \[1, 2\], one a block"),
    ("schedule", {"args": {**SIZES, "tokens_merged": 2, "merging_schedule": "decreasing"}}, {}, "leave out merging_"),
    ("exhausted", {"args": {**SIZES, "depth": 5}}, {"compensation": {}}, "degrees: tokens_merged=16: uses up the 17"),
    ("trainable", None, {"trainable": ["head"]}, "train.trainable holds head.weight, but"),
]


@pytest.mark.parametrize("model, settings, message", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_does_not_go_with_pre_training_says_why(model, settings, message, tmp_path, make_run):
    config = pretraining(save_body(tmp_path / "body.ckpt"), model, **settings)
    with pytest.raises(ConfigError, match=message):
        train(config, make_run(config))


@pytest.mark.parametrize("settings, message", [
    pytest.param({"progressive_norm": {"steps": 3}}, "progressive_norm changes the model", id="progressive"),
    pytest.param({"bn_reestimation_epochs": 1}, "bn_reestimation_epochs changes the model", id="reestimation"),
    pytest.param({"compensation": {"degrees": [0]}}, "at least 2", id="one"),
    pytest.param({"compensation": {"degrees": [0, 4, 4]}}, "names 4 twice", id="twice"),
    pytest.param({"compensation": {"degrees": [0, 17]}}, "less than or equal to 16", id="large")])
def test_a_config_is_refused_when_it_is_read(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{"epochs": 1, "compensation": {}, **settings})


def test_all_degrees_are_drawn_by_default():
    assert CompensationConfig().degrees == list(range(17))


def test_a_linear_probe_trains_the_head_alone(make_config, make_run, monkeypatch):
    settings = {"trainable": ["head"], "ema_decay": 0.5, "mode": "pynative", "progressive_norm": None,
                "epochs": 1, "batch_size": 360}
    config = make_config(**settings)
    whole, parts = make_run(config, "whole"), make_run(config, "parts")
    train(config, whole)
    interrupt_before(2, monkeypatch)
    with pytest.raises(TrainingError, match="interrupted at epoch 1"):
        train(config, parts)
    train(config, parts, resume=True)
    assert same_bits(parts.last_checkpoint, whole.last_checkpoint)
    found = read_state(whole.last_checkpoint)[0]
    assert {name.split(".", 2)[-1] for name in found if name.startswith("optimizer.")} == {"head.weight", "head.bias"}
    assert {"embed.weight", "norm.norm2.bn.moving_mean"} <= set(found)
    assert not found["norm.norm2.bn.moving_mean"].any(), "batch statistics are as they were built"
    assert evaluate_run(whole, checkpoint="last")["loss"] == whole.history()[-1]["val_loss"]


@pytest.mark.parametrize("trainable, message", [
    pytest.param(["haed"], "no weight's name holds 'haed'; did you mean 'head'?", id="misspelt"),
    pytest.param(["moving_mean"], "moving_mean names batch statistics alone", id="statistics")])
def test_parts_that_are_no_weights_are_refused(trainable, message, make_config, make_run):
    config = make_config(trainable=trainable)
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        train(config, make_run(config))
