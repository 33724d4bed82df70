"""What one export works on: a run's settings and weights, and its model at the number of merged tokens asked for."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from msnoah.config import DataConfig, ExportConfig, RunConfig, Tokens
from msnoah.errors import ConfigError, ModelError, RunFolderError
from msnoah.export.model_input import ModelInput, find_input
from msnoah.model_degrees import arguments_at
from msnoah.plugin_file import Plugin, find_plugin
from msnoah.registry import check_arguments, create_model
from msnoah.run_folder import RunFolder

MERGING_KEYS = "tokens_merged", "source_degree", "tocom_scale", "plugin", "family"
"""Fields of ExportConfig that are for models that merge tokens alone."""


@dataclass(frozen=True)
class ExportTask:
    """A run that is exported: its settings, the form of its input, and the files that its weights come from.

    `plugin` is None where ToCom's plugin, if the model has one, comes with the checkpoint.
    """

    config: RunConfig
    settings: ExportConfig
    taken: ModelInput
    checkpoint: Path
    plugin: Plugin | None = None

    @property
    def data(self) -> DataConfig:
        """The data section of the run's config."""
        return self.config.data

    def arguments(self, tokens_merged: Tokens | None) -> dict[str, Any]:
        """Keyword arguments of the model that merges so many tokens, or as many as in training (None).

        Raises:
            ConfigError: source_degree or tocom_scale, but no plugin that it could be for.
        """
        settings = self.settings
        return arguments_at(
            self.config, tokens_merged, plugin=self.plugin, source_degree=settings.source_degree,
            tocom_scale=settings.tocom_scale)

    def build_model(self, tokens_merged: Tokens | None):
        """The trained `mindspore.nn.Cell` that merges so many tokens; ModelError or CheckpointError if it cannot be."""
        files = {"checkpoint": self.checkpoint, **({"plugin": self.plugin.path} if self.plugin else {})}
        return create_model(self.config.model.name, **files, **self.arguments(tokens_merged))


def open_task(run: RunFolder, checkpoint: str | Path, overrides: dict[str, Any]) -> ExportTask:
    """Reads a run and the settings of its export, and refuses what cannot be done before anything is compiled.

    Args:
        run: a folder that training has made.
        checkpoint: "best" (the last one if there is no best), "last", or the path of a weights file.
        overrides: fields of ExportConfig in place of the config's.

    Raises:
        ConfigError, ModelError: settings that fit neither each other nor the model.
        RunFolderError: nothing trained yet, no such file, or a folder that cannot be written.
        CheckpointError: no such plugin.
    """
    config = run.config()
    settings = _settings(config, overrides)
    taken = find_input(config.data, settings)
    plugin = find_plugin(settings.plugin) if settings.plugin else None
    task = ExportTask(config, settings, taken, _find_checkpoint(run, checkpoint), plugin)
    _check_degrees(task)
    if not os.access(run.path, os.W_OK | os.X_OK):
        raise RunFolderError(f"{run.path}: cannot be written; change its rights, or copy the run")
    return task


def _settings(config: RunConfig, overrides: dict[str, Any]) -> ExportConfig:
    try:
        return ExportConfig(**{**config.export.model_dump(), **overrides})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise ConfigError(f"export.{where}: {fault['msg']}, found {fault['input']!r}") from None


def _find_checkpoint(run: RunFolder, checkpoint: str | Path) -> Path:
    named = {"best": run.best_checkpoint, "last": run.last_checkpoint}
    path = named.get(str(checkpoint), Path(checkpoint))
    if str(checkpoint) == "best" and not path.is_file() and run.last_checkpoint.is_file():
        print(f"{run.path}: no best.ckpt yet; last.ckpt is exported", file=sys.stderr)
        return run.last_checkpoint
    if not path.is_file():
        lacking = "nothing trained yet" if str(checkpoint) in named else "no such checkpoint"
        raise RunFolderError(f"{path}: {lacking}; expected 'best', 'last' or the path of a weights file")
    return path


def _check_degrees(task: ExportTask) -> None:
    settings, name = task.settings, task.config.model.name
    asked = [key for key in MERGING_KEYS if getattr(settings, key) not in (None, [])]
    if not asked:
        return
    try:
        check_arguments(name, ["tokens_merged"])
    except ModelError:
        raise ConfigError(f"export.{asked[0]}: {name} has no tokens that it could merge; leave it out") from None
    repeated = [degree for number, degree in enumerate(settings.family) if degree in settings.family[:number]]
    if repeated:
        raise ConfigError(f"export.family: names {repeated[0]} twice; each of its degrees is one artifact")
    for degree in [settings.tokens_merged, *settings.family]:
        create_model(name, **task.arguments(degree))   # without weights: says which degree the model cannot take
