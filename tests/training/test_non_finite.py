"""Steps whose loss or gradients are not finite: stop or skip, and the batch that an engineer finds afterwards."""

import json
import math
import os
import signal

import numpy as np
import pytest
from mindspore import nn, ops, set_seed
from small_net import SmallNet
from test_trainer import history, same_bits

from msnoah.config import RunConfig
from msnoah.data.batches import BatchLoader
from msnoah.data.sources import open_source
from msnoah.errors import TrainingError
from msnoah.nn import step_inputs
from msnoah.registry import create_model, register_model
from msnoah.run_folder import RunFolder
from msnoah.state_file import read_state
from msnoah.training import non_finite_batches
from msnoah.training.interruption import Interruption
from msnoah.training.schedules import learning_rate
from msnoah.training.train_step import AccumulatedStep, FusedStep
from msnoah.training.trainer import Trainer, train, with_classes
from msnoah.training.training_state import gather

BRIGHTEST = 0.315   # mean of normalised pixels that the brightest digit of the train split alone exceeds


class OverflowingNet(nn.Cell):
    """SmallNet, whose pixels overflow where their mean is over `limit`. (B, C, S, S) -> (B, K)"""

    def __init__(self, limit: float, num_classes: int, in_channels: int, image_size: int):
        super().__init__()
        self.net, self.limit = SmallNet(num_classes, in_channels, image_size), limit

    def construct(self, x):
        excess = ops.relu(x.mean(axis=(1, 2, 3), keep_dims=True) - self.limit)
        return self.net(x * ops.exp(6e4 * excess))   # times 1, or infinity; float16 holds 6e4


@register_model
def overflowing_net_for_training_tests(**kwargs) -> OverflowingNet:
    """OverflowingNet."""
    return OverflowingNet(**kwargs)


@pytest.fixture
def make_overflow(make_config, make_run):
    """make_overflow(name, limit=..., **train): config and folder of a run that overflows in one batch an epoch."""
    def make(name: str = "run", limit: float = BRIGHTEST, **train) -> tuple[RunConfig, RunFolder]:
        config = make_config(**{"progressive_norm": {"steps": 2}} | train).model_dump(mode="json")
        config["model"] = {"name": "overflowing_net_for_training_tests", "args": {"limit": limit}}
        config = RunConfig(**config)
        return config, make_run(config, name)

    return make


def bad_steps(config: RunConfig) -> list[int]:
    """The steps, from 1, whose batches hold an image over the limit: found without a model."""
    source, size = open_source(config.data, "train"), config.train.batch_size
    loader = BatchLoader(source, config.data, batch_size=size, training=True, seed=config.seed)
    limit, accumulate = config.model.args["limit"], config.train.accumulate
    steps = len(loader) // accumulate
    return [epoch * steps + number // accumulate + 1
            for epoch in range(config.train.epochs) for number, batch in enumerate(loader.epoch(epoch))
            if number // accumulate < steps and (batch.images.mean(axis=(1, 2, 3)) > limit).any()]


def open_trainer(config: RunConfig, run: RunFolder, interruption: Interruption) -> Trainer:
    train_source, val_source = open_source(config.data, "train"), open_source(config.data, "val")
    return Trainer(with_classes(config, train_source), run, train_source, val_source, interruption)


def kept(run: RunFolder) -> list[str]:
    return sorted(path.name for path in run.non_finite_path.glob("*"))


EACH_FORM = pytest.mark.parametrize("form", [
    {"mode": "graph"}, {"mode": "pynative"}, {"mode": "graph", "accumulate": 2}, {"mode": "pynative", "accumulate": 2}],
    ids=lambda form: "-".join(map(str, form.values())))


@EACH_FORM
def test_stop_keeps_the_batch_that_broke_it(form, make_overflow):
    config, run = make_overflow(checkpoint_every_steps=1, **form)
    step, *_ = bad_steps(config)
    path = run.non_finite_path / f"step_{step:09d}.npz"
    with pytest.raises(TrainingError, match=rf"loss is not finite at epoch 1, step {step}; .*kept in {path}; try a"):
        train(config, run)
    found = np.load(path)
    assert found["images"].shape == (config.train.accumulate, 240, 1, 8, 8)
    means = found["images"].mean(axis=(2, 3, 4))
    (number, row), *others = np.argwhere(means > BRIGHTEST)
    assert not others and not math.isfinite(found["losses"][number])
    source = open_source(config.data, "train")
    assert found["names"][number, row] == source.name(int(found["indices"][number, row]))
    assert found["labels"][number, row] == source.labels[found["indices"][number, row]]
    np.testing.assert_array_equal(found["targets"].argmax(-1), found["labels"])
    assert (found["step"], found["epoch"], found["seed"], found["loss_scale"]) == (step, 1, config.seed, 1)
    assert found["learning_rate"] == learning_rate(step - 1, config.train, 6 // config.train.accumulate)
    assert found["losses"].shape == (config.train.accumulate,)


@EACH_FORM
def test_skip_leaves_all_as_it_was(form, make_overflow, capfd):
    config, run = make_overflow(non_finite="skip", ema_decay=0.9, epochs=1, **form)
    (bad,) = bad_steps(config)
    with Interruption() as interruption:
        trainer = open_trainer(config, run, interruption)
        batches = trainer.loader.epoch(0)
        for step in range(1, trainer.steps_per_epoch + 1):
            before = gather(trainer._groups())
            trainer._take_step(batches)
            after = gather(trainer._groups())
            changed = {name for name in after if not np.array_equal(after[name], before[name])}
            assert not changed if step == bad else len(changed) > len(after) / 2
        batches.close()
        trainer._finish_epoch()
    assert type(trainer._step) is AccumulatedStep and any("moving_variance" in name for name in after)
    assert all(np.isfinite(array).all() for array in after.values())
    assert f"loss is not finite at epoch 1, step {bad}: skipped, number 1 of this run; its batches are kept in" in (
        capfd.readouterr().err)
    assert trainer.loss_scale.skipped_steps == 1 and kept(run) == [f"step_{bad:09d}.npz"]
    assert math.isfinite(run.history()[0]["train_loss"])


def test_bias_correction_goes_by_the_steps_taken(make_overflow, monkeypatch):
    config, run = make_overflow(non_finite="skip")
    with Interruption() as interruption:
        trainer, seen = open_trainer(config, run, interruption), []
    step_scalars = trainer.optimizer.step_scalars
    monkeypatch.setattr(trainer.optimizer, "step_scalars", lambda lr, step: seen.append(step) or step_scalars(lr, step))
    record = trainer.run()
    bad = bad_steps(config)
    assert seen == [step - 1 - sum(b < step for b in bad) for step in range(1, 13)]
    assert record["skipped_steps"] == len(bad) == 2 and kept(run) == [f"step_{step:09d}.npz" for step in bad]
    for line in run.history_path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)   # NaN is no JSON


@pytest.mark.parametrize("form", [
    pytest.param({"accumulate": 2, "mode": "pynative"}, id="pynative-2"),
    pytest.param({}, id="graph", marks=pytest.mark.slow),
    pytest.param({"amp_level": "O2"}, id="O2", marks=pytest.mark.slow)])
def test_resumed_across_skips_is_the_same(form, make_overflow, monkeypatch):
    settings = {"non_finite": "skip", "ema_decay": 0.9, "bn_reestimation_epochs": 1, "checkpoint_every_steps": 1}
    (config, whole), (_, parts) = (make_overflow(name, **settings, **form) for name in ("whole", "parts"))
    expected = train(config, whole)
    bad, calls, set_share = bad_steps(config)[0], [], step_inputs.set_layer_norm_share

    def interrupting(model, share):
        calls.append(share)
        if len(calls) in (bad, bad + 2):   # the step that skips, then one after it
            os.kill(os.getpid(), signal.SIGINT)
        set_share(model, share)

    monkeypatch.setattr(step_inputs, "set_layer_norm_share", interrupting)
    for resume in (False, True):
        with pytest.raises(TrainingError, match="interrupted at"):
            train(config, parts, resume=resume)
    assert train(config, parts, resume=True)["skipped_steps"] == expected["skipped_steps"] >= 2
    assert same_bits(parts.last_checkpoint, whole.last_checkpoint)
    assert same_bits(parts.best_checkpoint, whole.best_checkpoint)
    assert history(parts) == history(whole) and kept(parts) == kept(whole)
    for name in kept(whole):
        one, other = np.load(whole.non_finite_path / name), np.load(parts.non_finite_path / name)
        numbers = ("losses", "gradient_norm")
        assert all(np.array_equal(one[key], other[key], equal_nan=key in numbers) for key in one.files)


@pytest.mark.parametrize("form", [
    pytest.param({"mode": "pynative"}, id="O0"), pytest.param({"amp_level": "O2"}, id="O2", marks=pytest.mark.slow)])
def test_skips_without_end_stop(form, make_overflow, make_run):
    """Every image overflows. A resumed run goes on counting; a folder of kept batches does not grow."""
    config, run = make_overflow(limit=-9.0, non_finite="skip", epochs=9, checkpoint_every_steps=1, **form)
    before = read_initial(config)
    message = (r"loss is not finite at epoch 4, step 20, and 20 steps in a row were skipped; last.ckpt holds the last "
               r"good state; its batches are not kept: \S+ holds 3 files already")
    with pytest.raises(TrainingError, match=message):
        train(config, run)
    assert kept(run) == [f"step_{step:09d}.npz" for step in (1, 2, 3)]
    assert all("train_loss" not in record for record in run.history())
    with pytest.raises(TrainingError, match=message):   # last.ckpt is of the 19th: the next is the last again
        train(config, run, resume=True)
    arrays = read_state(run.last_checkpoint)[0]
    assert all(np.array_equal(arrays[name], value) for name, value in before.items())


def read_initial(config: RunConfig) -> dict[str, np.ndarray]:
    set_seed(config.seed)
    model = create_model(config.model.name, **config.model.args, num_classes=10, in_channels=1, image_size=8)
    return {name: weight.asnumpy() for name, weight in step_inputs.weights(model).items()}


@pytest.mark.parametrize("policy, accumulate", [("stop", 1), ("stop", 2), ("skip", 1)])
def test_gradients_count_as_the_loss_does(policy, accumulate, make_config, make_run, monkeypatch, capfd):
    """The loss stays finite, the norm of the gradients does not: logits are 0, their slope 1e30."""
    def construct(self, x):
        logits = self.head(self.embed(x.reshape(-1, self.pixels)))
        return 1e30 * (logits - ops.stop_gradient(logits))

    monkeypatch.setattr(SmallNet, "construct", construct)
    config = make_config(non_finite=policy, accumulate=accumulate, mode="pynative", epochs=1)
    run = make_run(config)
    if policy == "stop":
        with pytest.raises(TrainingError, match=r"gradients are not finite at epoch 1, step 1; nothing was saved yet;"):
            train(config, run)
    else:
        assert train(config, run)["skipped_steps"] == 6
        assert "gradients are not finite at epoch 1, step 6: skipped, number 6" in capfd.readouterr().err


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_overflows_of_float16_are_no_trouble(policy, make_config, make_run, capfd):
    """The scale starts too high for this rate; both policies lower it without a word."""
    config = make_config(amp_level="O2", non_finite=policy, mode="pynative", epochs=1)
    run = make_run(config)
    with Interruption() as interruption:
        trainer = open_trainer(config, run, interruption)
        trainer.loss_scale.value = 2.0**126
        batches = trainer.loader.epoch(0)
        before = gather(trainer._groups())
        loss, _ = trainer._take_step(batches)
        batches.close()
    changed = {name for name, value in gather(trainer._groups()).items() if not np.array_equal(value, before[name])}
    assert math.isfinite(loss) and trainer.loss_scale.value == 2.0**125 and not kept(run)
    assert all("moving_" in name for name in changed) and bool(changed) == (policy == "stop")
    assert "not finite" not in capfd.readouterr().err


def fill_disk(file, **arrays):
    file.write(b"half")
    raise OSError(28, "No space left on device")


def lack_memory(file, **arrays):
    raise MemoryError


@pytest.mark.parametrize("failure, said", [
    (fill_disk, r"its batches could not be kept: .*step_0000\d+.npz: cannot be written: No space left on device; "),
    (lack_memory, r"its batches could not be kept: MemoryError; try a lower")])
def test_a_batch_that_cannot_be_written_hides_nothing(failure, said, make_overflow, monkeypatch):
    config, run = make_overflow(mode="pynative")
    monkeypatch.setattr(non_finite_batches.np, "savez", failure)
    with pytest.raises(TrainingError, match=r"^loss is not finite at epoch 1, step \d; nothing was saved yet; " + said):
        train(config, run)
    assert kept(run) == []


def test_stop_takes_the_fused_step(make_overflow):
    config, run = make_overflow()
    with Interruption() as interruption:
        trainer = open_trainer(config, run, interruption)
    assert type(trainer._create_step()) is FusedStep


def test_leftovers_of_a_kill_are_cleared(make_overflow):
    config, run = make_overflow(mode="pynative")
    run.non_finite_path.mkdir()
    (run.non_finite_path / ".step_000000001.npz.77.tmp").write_bytes(b"half")
    with pytest.raises(TrainingError):
        train(config, run)
    assert [name[-4:] for name in kept(run)] == [".npz"]


def test_a_batch_norm_pass_heeds_the_policy(make_overflow, capfd):
    settings = {"bn_reestimation_epochs": 2, "mode": "pynative", "epochs": 1}
    config, run = make_overflow(non_finite="skip", **settings)
    train(config, run)
    assert "outputs are not finite in BatchNorm pass 2, batch " in capfd.readouterr().err
    assert all(math.isfinite(record["val_loss"]) for record in run.history()) and len(kept(run)) == 3
    config, run = make_overflow("good", limit=9.0, **settings)
    with Interruption() as interruption:
        trainer = open_trainer(config, run, interruption)
        trainer.run()
        trainer.state.reestimation_epochs, trainer.model.limit = 1, BRIGHTEST
        with pytest.raises(TrainingError, match=r"^outputs are not finite in BatchNorm pass 2, batch \d; last.ckpt"):
            trainer.run()
    assert [name[:22] for name in kept(run)] == ["batchnorm_pass_2_batch"]
