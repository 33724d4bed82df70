"""Training of one run, from its config to best.ckpt, last.ckpt and history.jsonl."""

import zlib
from collections.abc import Iterator
from contextlib import closing, nullcontext
from functools import partial, reduce
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn
from tqdm import tqdm

from msnoah.checkpoint import load_checkpoint
from msnoah.config import RunConfig
from msnoah.data.batches import Batch
from msnoah.data.sources import Source, open_source
from msnoah.errors import ConfigError, TrainingError
from msnoah.nn import step_inputs
from msnoah.nn.synchronised_norm import synchronise_norms
from msnoah.registry import create_model
from msnoah.run_folder import RunFolder
from msnoah.run_lock import RunLock
from msnoah.training.averaging import WeightAverage
from msnoah.training.bn_reestimation import BatchNormReestimation
from msnoah.training.clock import EpochClock
from msnoah.training.compensation import CompensationStep, check_compensation, draw_degrees, restore_degrees
from msnoah.training.console import say
from msnoah.training.device import select_device
from msnoah.training.evaluator import evaluation_rows, validation_loader
from msnoah.training.freezing import freeze, frozen_norms
from msnoah.training.interruption import Interrupted, Interruption
from msnoah.training.last_checkpoint import SavedRun, check_same_run
from msnoah.training.loss_scale import LossScale
from msnoah.training.losses import soft_distillation
from msnoah.training.mixed_precision import mixed_precision
from msnoah.training.non_finite import NonFiniteGuard
from msnoah.training.optimizers import create_optimizer, optimizer_state
from msnoah.training.resumption import find_saved_run
from msnoah.training.schedules import check_schedule, learning_rate, progressive_share
from msnoah.training.state_saver import StateSaver
from msnoah.training.tasks import find_task
from msnoah.training.train_step import AccumulatedStep, FusedStep, create_step
from msnoah.training.training_state import TrainingState, gather, restore
from msnoah.training.worker_group import ALONE, WorkerGroup

DROPS = 10   # purpose of a random stream


def train(
    config: RunConfig, run: RunFolder, *, resume: bool = False, group: WorkerGroup = ALONE,
) -> dict[str, Any]:
    """Trains the model of a config and leaves history.jsonl, best.ckpt and last.ckpt in the run folder.

    A killed run that is resumed on the same device ends with the same bits as one that was never stopped.

    Args:
        config: the run; classes are filled in from the data, and the resolved config is written to the folder.
        run: its folder.
        resume: go on from the newest whole state; a run that is finished stays as it is.
        group: the workers that train it together, joined on the config's device, of which this process is one; the
            first writes all files. Batches, and with train.sync_batch_norm all numbers to rounding, are those of one
            worker.

    Returns:
        epochs, steps, best_top1 and best_epoch, last_top1, majority_class_rate (of the val split; best_miou, last_miou
        and trivial_miou where pixels are labelled), seconds,
        cpu_seconds, compile_seconds, steps_per_cpu_s (data included, compilation left out), skipped_steps
        (for overflows under AMP, and by train.non_finite), workers, and `resumed`: "no", "yes" or "finished already".

    Raises:
        TrainingError: a loss that is not finite, a signal, nothing to resume, or a run in the way of a new one.
        ConfigError: a resumed config that differs in a key that matters, or settings that do not fit together.
        RunFolderError: another process trains this run, or its newest state cannot be written.
        DeviceError, DataError, ModelError, CheckpointError: from the parts.
    """
    check_schedule(config.train)
    if resume and not run.config_path.is_file():
        raise TrainingError(f"{run.path}: nothing to resume: no such run")
    with RunLock(run.path) if group.is_first else nullcontext():
        saved = find_saved_run(run, resume, group)
        if group is ALONE:   # others were brought together on theirs
            select_device(config.device)
        return _train(config, run, saved, group)


def _train(config: RunConfig, run: RunFolder, saved: SavedRun | None, group: WorkerGroup) -> dict[str, Any]:
    train_source, val_source = open_source(config.data, "train"), open_source(config.data, "val")
    config = with_classes(config, train_source)
    if saved is not None:
        check_same_run(saved, config, run)
    with Interruption(group) as interruption:
        trainer = Trainer(config, run, train_source, val_source, interruption, saved, group)
        if group.is_first:
            run.write_config(config)
        return trainer.run()


def with_classes(config: RunConfig, source: Source) -> RunConfig:
    """The config with the class names of the data; ConfigError if it names others, or a model of another number."""
    found, args = list(source.classes), config.model.args
    if config.data.classes not in ([], found):
        raise ConfigError(f"data.classes lists {len(config.data.classes)} classes that are not those of the data "
                          f"({len(found)}: {', '.join(found[:3])} ...); leave it out")
    if args.get("num_classes", len(found)) != len(found):
        raise ConfigError(f"model.args.num_classes is {args['num_classes']}, but the data has {len(found)} classes; "
                          "leave it out")
    return config.model_copy(update={"data": config.data.model_copy(update={"classes": found})})


class Trainer:
    """Drives model, data, optimiser and checkpoints through the epochs of one run."""

    def __init__(self, config: RunConfig, run: RunFolder, train_source: Source, val_source: Source,
                 interruption: Interruption, saved: SavedRun | None = None, group: WorkerGroup = ALONE):
        self.group, self.shard = group, group.shard
        self.config, self.settings, self.run_folder, self.interruption = config, config.train, run, interruption
        self.classes = len(train_source.classes)
        self.task, self.state = find_task(config.data), TrainingState()
        self.saver = StateSaver(config, run, group)
        self.clock = EpochClock(self.state)
        self._step, self._warm = None, None   # the compiled step, and whether it is one of pure LayerNorm
        self._open_loaders(train_source, val_source)
        self._build_model(None if saved else config.model.checkpoint)
        self.guard = NonFiniteGuard(config, run, train_source, self.model, self.loss_scale, self._say, group)
        self.resumed = "no" if saved is None else "yes"
        if saved is not None:
            self._restore(saved)
        if group.size > 1:
            group.require_same(_fingerprint(self._groups()), "weights")

    def run(self) -> dict[str, Any]:
        """Trains to the end; the final record that `train` returns."""
        with self.saver:
            self.saver.resume_chain(self.state.step, due=self.resumed != "no" and self._is_due())
            return self._run()

    def _run(self) -> dict[str, Any]:
        if self._is_finished():
            self._say(f"{self.run_folder.path}: finished already, after {self.settings.epochs} epochs")
            return {**self._final_record(), "resumed": "finished already"}
        try:
            while self.state.epoch < self.settings.epochs:
                self._train_epoch()
                self._finish_epoch()
        except Interrupted:
            self.clock.stop()
            self._save()
            self.group.wait()   # a worker that ended would have the others killed before the first has saved
            raise self._interrupted() from None
        try:
            self._reestimate()
        except Interrupted:   # a pass that is cut short is done again as a whole
            raise self._interrupted() from None
        self.saver.finish()
        return self._final_record()

    def _open_loaders(self, train_source: Source, val_source: Source) -> None:
        settings, data = self.settings, self.config.data
        self.loader = self.task.loader(
            train_source, data, batch_size=settings.batch_size, training=True, seed=self.config.seed,
            mixup=settings.mixup, label_smoothing=settings.label_smoothing, repeats=settings.repeats, shard=self.shard)
        self.val_loader = validation_loader(val_source, self.config)
        self.steps_per_epoch = len(self.loader) // settings.accumulate
        if not self.steps_per_epoch:
            raise ConfigError(f"train.accumulate is {settings.accumulate}, but an epoch has only {len(self.loader)} "
                              f"batches of {settings.batch_size}; lower one of the two")

    def _build_model(self, checkpoint: str | None) -> None:
        config, settings = self.config, self.settings
        ms.set_seed(config.seed)   # the draws of the initial weights
        self.model = create_model(config.model.name, **config.model_arguments())
        if settings.compensation:
            check_compensation(config, self.model)
        if checkpoint:
            load_checkpoint(self.model, checkpoint, plugin=config.model.plugin, strict=config.model.strict,
                            new_plugin=bool(settings.compensation))
        _require_classifier(self.model, config.model.name)
        if settings.sync_batch_norm and self.group.size > 1:
            synchronise_norms(self.model, self.group.size)
        size = self.shard.size(settings.batch_size)
        _require_batch(self.model, size)
        step_inputs.prepare_drops(self.model, size)
        self.weights = step_inputs.weights(self.model)
        changing = freeze(self.weights, settings.trained_parts)
        self.frozen_norms = frozen_norms(self.model, changing)
        mixed_precision(self.model, settings.amp_level)
        self.optimizer = create_optimizer([w for w in changing.values() if w.requires_grad], settings.optimizer)
        self.average = WeightAverage(changing, settings.ema_decay, settings.mode) if settings.ema_decay else None
        self.loss_scale = LossScale(enabled=settings.amp_level != "O0")
        self.evaluate = self.task.evaluator(self.model, settings.mode, evaluation_rows(config))

    def _train_epoch(self) -> None:
        state = self.state
        self.clock = EpochClock(state)
        done = state.step - state.epoch * self.steps_per_epoch
        batches = self.loader.epoch(state.epoch, start=done * self.settings.accumulate)
        title = f"epoch {state.epoch + 1}/{self.settings.epochs}"
        bar = tqdm(total=self.steps_per_epoch, initial=done, desc=title, unit="step", leave=False,
                   disable=not self.group.is_first)
        with closing(batches), bar as progress:
            for done in range(done + 1, self.steps_per_epoch + 1):
                self.interruption.check()
                loss, lr = self._take_step(batches)
                progress.set_postfix(loss=f"{loss:.4g}", lr=f"{lr:.2e}", refresh=False)
                progress.update()
                every = self.settings.checkpoint_every_steps
                if every and state.step % every == 0 and done < self.steps_per_epoch:
                    self._save()

    def _take_step(self, batches: Iterator[Batch]) -> tuple[float, float]:
        """Loss and learning rate of the next step."""
        state, loss_scale = self.state, self.loss_scale
        self._prepare_step()
        lr = learning_rate(state.step, self.settings, self.steps_per_epoch)
        scalars = self.optimizer.step_scalars(lr, state.step - loss_scale.skipped_steps)
        with self.clock.compiling() if self._step.compiles else self.clock.step():
            self.guard.prepare()
            result = self._step(self._draw_batches(batches), scalars)
            self.guard.settle(result, state, lr)
            if result.applied and self.average:
                self.average.update()
        state.step += 1
        if result.applied:
            state.loss_sum += result.loss
        else:
            state.losses_left_out += 1
        return result.loss, lr

    def _prepare_step(self) -> None:
        """Sets PRepBN's share, and makes the step: at first, and anew when the pure LayerNorm steps end."""
        self._set_training()
        progressive = self.settings.progressive_norm
        share, warm = progressive_share(self.state.step, progressive) if progressive else (0.0, False)
        step_inputs.set_layer_norm_share(self.model, share)
        if self._step is None or warm != self._warm:
            step_inputs.set_warm(self.model, warm)
            self._step, self._warm = self._create_step(), warm

    def _set_training(self) -> None:
        self.model.set_train(True)
        for norm in self.frozen_norms:
            norm.set_train(False)

    def _create_step(self) -> FusedStep | AccumulatedStep | CompensationStep:
        settings, compensation = self.settings, self.settings.compensation
        loss = soft_distillation(compensation.temperature) if compensation else self.task.loss
        create = partial(create_step, self.model, self.optimizer, settings, self.loss_scale, loss, self.group)
        if not compensation:
            return create()
        return CompensationStep(self.model, settings.mode, self._draw_degrees, create, self._set_training)

    def _draw_degrees(self) -> tuple[int, int]:
        return draw_degrees(self.settings.compensation.degrees, self.config.seed, self.state.step)

    def _draw_batches(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The next batches of a step, each with what it drops drawn."""
        for number in range(self.settings.accumulate):
            with self.clock.waiting():
                batch = next(batches)
            random = np.random.default_rng((self.config.seed, DROPS, self.state.step, number))
            step_inputs.draw_drops(self.model, random, self.shard)
            yield batch

    def _finish_epoch(self) -> None:
        state, settings = self.state, self.settings
        number = state.epoch + 1
        record = {"epoch": number, "phase": "train", "step": state.step,
                  "lr": learning_rate(state.step - 1, settings, self.steps_per_epoch)}
        if state.losses_left_out < self.steps_per_epoch:   # JSON has no number for the mean of none
            record["train_loss"] = state.loss_sum / (self.steps_per_epoch - state.losses_left_out)
        if settings.progressive_norm:
            record["layer_norm_share"] = progressive_share(state.step - 1, settings.progressive_norm)[0]
        if number % settings.eval_every == 0 or number == settings.epochs:
            record |= self._evaluate(number)
        state.epoch, state.loss_sum, state.losses_left_out = number, 0.0, 0
        self._close_epoch(record)

    def _reestimate(self) -> None:
        """BatchNorm passes; with averaged weights, these are the ones that are measured and kept from here on."""
        state, settings = self.state, self.settings
        if not settings.bn_reestimation_epochs:
            return
        if self.average:
            self.average.replace_weights()
            self.average, state.averages_in_use = None, True
        reestimation = BatchNormReestimation(self.model, settings.mode)
        while state.reestimation_epochs < settings.bn_reestimation_epochs:
            self.clock = EpochClock(state)
            number = settings.epochs + state.reestimation_epochs + 1
            batches = self.interruption.watch(self.loader.epoch(number - 1))
            passing = tqdm(batches, total=len(self.loader), desc=f"BatchNorm pass {number}", leave=False,
                           disable=not self.group.is_first)
            reestimation(passing, self.guard, state.reestimation_epochs + 1)
            record = {"epoch": number, "phase": "bn_reestimation", "step": state.step, **self._evaluate(number)}
            state.reestimation_epochs += 1
            self._close_epoch(record)

    def _evaluate(self, number: int) -> dict[str, float]:
        """Metrics of the averaged weights if there are any, else of the trained; best.ckpt if they are the best. The
        first worker finds them; the others have none."""
        if not self.group.is_first:
            return {}
        if self.settings.compensation:
            restore_degrees(self.model)
        with self.average.applied() if self.average else nullcontext():
            batches = self.val_loader.epoch(0)
            batches = batches if self.group.size > 1 else self.interruption.watch(batches)   # the others are not here
            metrics = self.evaluate(batches, self.classes).result()
            score, self.state.trivial_score = metrics[self.task.score], self.task.trivial_score(metrics)
            if score > self.state.best_score:
                self.state.best_score, self.state.best_epoch = score, number
                self.saver.save_best(self.weights, {"epoch": number, self.task.score: score})
        return {f"val_{key}": metrics[key] for key in self.task.measures if key in metrics}

    def _close_epoch(self, record: dict[str, Any]) -> None:
        times = self.clock.stop()
        times |= self.clock.rates(self.settings.batch_size * self.settings.accumulate) | self.loader.views.take_rates()
        self._save({**record, **times})
        shown = " ".join(f"{key} {value:.4g}" for key, value in record.items() if isinstance(value, float))
        self._say(f"epoch {record['epoch']} ({record['phase']}): {shown}")

    def _groups(self) -> dict[str, dict[str, Parameter]]:
        """What last.ckpt holds. A weight's own name stands for what is evaluated and exported, so for an average."""
        moments = {"optimizer.": optimizer_state(self.optimizer)}
        if self.average is None:
            return {"": self.weights, **moments}
        return {"": self.weights | self.average.averages, "optimizer.trained.": self.average.weights, **moments}

    def _save(self, record: dict[str, Any] | None = None) -> None:
        self.saver.save(self._groups(), self.state, self.loss_scale, record, due=self._is_due(), final=self._is_finished())

    def _is_due(self) -> bool:
        """Whether a run that nobody interrupts saves at this state, and does not change it at the same step."""
        state, settings = self.state, self.settings
        if state.step == state.epoch * self.steps_per_epoch:
            return 0 < state.epoch < settings.epochs or self._is_finished()
        every = settings.checkpoint_every_steps
        return bool(every) and state.step % every == 0 and state.step < (state.epoch + 1) * self.steps_per_epoch

    def _restore(self, saved: SavedRun) -> None:
        self.state = TrainingState(**saved.state)
        if self.state.averages_in_use:
            self.average = None
        restore(self._groups(), saved.arrays, saved.path)
        self.loss_scale.restore(saved.loss_scale)
        self.saver.resume(saved, self.state, self.task.score)

    def _say(self, line: str) -> None:
        if self.group.is_first:
            say(line)

    def _is_finished(self) -> bool:
        done, settings = self.state, self.settings
        return done.epoch == settings.epochs and done.reestimation_epochs == settings.bn_reestimation_epochs

    def _interrupted(self) -> TrainingError:
        self.saver.finish()
        state = self.state
        return TrainingError(f"interrupted at epoch {state.epoch + 1}, step {state.step}; go on with --resume")

    def _final_record(self) -> dict[str, Any]:
        """Empty for all workers but the first."""
        if not self.group.is_first:
            return {}
        state, score = self.state, self.task.score
        scores = [record[f"val_{score}"] for record in self.run_folder.history() if f"val_{score}" in record]
        last = scores[-1] if scores else None   # someone removed history.jsonl
        return {"epochs": state.epoch, "steps": state.step, f"best_{score}": state.best_score,
                "best_epoch": state.best_epoch, f"last_{score}": last,
                "_".join(self.task.trivial): state.trivial_score, "seconds": state.seconds,
                "cpu_seconds": state.cpu_seconds, "compile_seconds": state.compile_seconds,
                "steps_per_cpu_s": state.steps_per_cpu_second(), "skipped_steps": self.loss_scale.skipped_steps,
                "workers": self.group.size, "resumed": self.resumed}


def _require_classifier(model: nn.Cell, name: str) -> None:
    if hasattr(model, "input_shapes"):
        raise ConfigError(f"model.name is {name}, but a config trains classifiers of images and clips; "
                          "docs/video.md says how to train what finds boxes or segments")


def _require_batch(model: nn.Cell, batch_size: int) -> None:
    smallest = getattr(model, "smallest_batch", 1)
    if batch_size < smallest:
        raise ConfigError(f"train.batch_size is {batch_size}, but {type(model).__name__} has norms of one number a "
                          f"sample, whose variance takes {smallest} samples or more")


def _fingerprint(groups: dict[str, dict[str, Parameter]]) -> int:
    """CRC-32 of all that training goes on from."""
    return reduce(lambda crc, array: zlib.crc32(array.tobytes(), crc), gather(groups).values(), 0)
