"""Accuracy of runs that merge other numbers of tokens than in training, with and without ToCom's plugin."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from msnoah.config import RunConfig, Tokens
from msnoah.data.batches import Batch, BatchLoader
from msnoah.data.sources import ImageSource, open_source
from msnoah.data.spread_source import SpreadSource
from msnoah.data.views import ViewKind
from msnoah.degree_records import DegreeResult, DegreeSettings, read_results, write_results
from msnoah.errors import CheckpointError, ModelError, MsnoahError
from msnoah.file_hash import hash_file
from msnoah.model_degrees import arguments_at
from msnoah.nn.merging_degrees import set_compensation, set_tokens_merged, spread
from msnoah.plugin_file import Plugin, find_plugin
from msnoah.registry import check_arguments, create_model
from msnoah.run_folder import RunFolder
from msnoah.training.device import select_device
from msnoah.training.evaluator import evaluation_rows, validation_loader
from msnoah.training.mixed_precision import mixed_precision
from msnoah.training.tasks import find_task


class SourceRun:
    """A run's model, built once, whose degrees and plugin's gates are changed in place.

    Raises ModelError for a model that cannot merge or whose tokens `targets` use up, CheckpointError for weights or a
    plugin that do not fit; both name the run.
    """

    def __init__(self, run: RunFolder, plugin: Plugin | None, targets: Sequence[int]):
        self.run, self.config = run, run.config()
        _require_merging(run, self.config)
        self.checkpoint_sha256 = _hash_checkpoint(run)
        own_plugin = self.checkpoint_sha256 if self.config.model.has_plugin else None
        self.plugin_sha256 = plugin.sha256 if plugin else own_plugin
        arguments = self.config.model.args
        self._schedule = arguments.get("merging_schedule", "constant")
        self.source_degree = arguments.get("source_degree", arguments.get("tokens_merged", 0))
        try:
            self._model = _build(run, self.config, plugin, max(targets))
            self._check_plugin(targets)
        except MsnoahError as error:
            raise type(error)(f"{run.path}: {error}") from error
        mixed_precision(self._model, self.config.train.amp_level)

    def scales(self, target: int, scales: Sequence[float]) -> list[float]:
        """At which of the scales this run is to be evaluated: none without a plugin, or where it would add nothing."""
        return list(scales) if self.plugin_sha256 and target != self.source_degree else []

    def evaluator(self, target: int) -> Callable[[Iterator[Batch], int], object]:
        """What evaluates batches at a target degree; it is compiled at its first call, for all scales."""
        if self._model.merges:
            set_tokens_merged(self._model, self._spread(target))
        return find_task(self.config.data).evaluator(self._model, self.config.train.mode, evaluation_rows(self.config))

    def compensate(self, target: int, scale: float) -> None:
        """Opens the plugin's gates between the run's degree and the target; at scale 0, or without a plugin, none."""
        if self.plugin_sha256:
            set_compensation(self._model, self._spread(self.source_degree), self._spread(target), scale)

    def _spread(self, degree: Tokens) -> list[int]:
        return spread("tokens_merged", degree, len(self._model.blocks), self._schedule)

    def _check_plugin(self, targets: Sequence[int]) -> None:
        for target in targets:
            self.compensate(target, 0.0)


def evaluate_degrees(
    runs: Sequence[RunFolder], targets: Sequence[int], *, plugin: str | Path | None = None,
    scales: Sequence[float] = (0.1,), views: ViewKind = "val", limit: int | None = None, device: str | None = None,
) -> list[DegreeResult]:
    """Top-1 accuracy of each run at each target degree, plain and with a plugin at each scale, on its val split.

    What degrees.json of a run holds of the same files and settings is not evaluated again; each result is written
    there as it is found, and into the plugin's run too.

    Args:
        runs: source runs, whose best checkpoints are evaluated; their models merge tokens, or could.
        targets: numbers of merged tokens a block (as model.args.merging_schedule says).
        plugin: a weights file or a run with ToCom's plugin; None evaluates a plugin only where a run has its own.
        scales: how much of the plugin is added, each above 0; 0, plain ToMe, is always evaluated.
        views: which of the config's views.
        limit: at most so many images of each split, spread evenly over it; None for all.
        device: CPU, GPU or Ascend instead of the configs'.

    Raises:
        ModelError: no runs or targets, a model that cannot merge, degrees that use up its tokens or that the plugin
            does not know.
        CheckpointError, RunFolderError, DataError, DeviceError: from the parts.
    """
    targets, scales = sorted(set(targets)), sorted(set(scales))
    _check_numbers(runs, targets, scales, limit)
    select_device(device or runs[0].config().device)
    found = find_plugin(plugin) if plugin else None
    sources = [SourceRun(run, found, targets) for run in runs]   # all of them first: what is wrong shows at once
    grid = _Grid(sources, found, views, limit)
    grid.evaluate(targets, scales)
    asked = {(target, scale) for target in targets for scale in (0.0, *scales)}
    return [result for result in grid.results() if (result.target_degree, result.tocom_scale) in asked]


class _Grid:
    """Evaluates what the runs' files lack, and keeps the files."""

    def __init__(self, sources: list[SourceRun], plugin: Plugin | None, views: ViewKind, limit: int | None):
        self._sources, self._plugin, self._views, self._limit = sources, plugin, views, limit
        self._known = {source: _current(source) for source in sources}
        self._others = _others(plugin, sources)

    def evaluate(self, targets: Sequence[int], scales: Sequence[float]) -> None:
        """Evaluates all targets and scales, run by run."""
        for source in self._sources:
            split = open_source(source.config.data, "val")
            split = split if self._limit is None else SpreadSource(split, self._limit)
            loader = validation_loader(split, source.config, self._views)
            self._write(source)
            for target in targets:
                self._evaluate_target(source, loader, split, target, [0.0, *source.scales(target, scales)])

    def results(self) -> list[DegreeResult]:
        """What belongs to the settings, by run."""
        return [result for source in self._sources for result in self._known[source].values()
                if self._settings(source).covers(result)]

    def _evaluate_target(
        self, source: SourceRun, loader: BatchLoader, split: ImageSource, target: int, scales: list[float],
    ) -> None:
        done = {result.tocom_scale for result in self._known[source].values()
                if self._settings(source).covers(result) and result.target_degree == target}
        evaluate = source.evaluator(target)
        for scale in (scale for scale in scales if scale not in done):
            source.compensate(target, scale)
            title = f"{source.run.name}: {source.source_degree} to {target}, scale {scale:g}"
            metrics = evaluate(tqdm(loader.epoch(0), total=len(loader), desc=title, leave=False), len(split.classes))
            result = DegreeResult(
                source.run.name, source.source_degree, target, scale, metrics.result()["top1"], metrics.count,
                source.config.data.source, len(split.classes), self._views, self._limit, source.checkpoint_sha256,
                source.plugin_sha256 if scale else None)
            self._known[source][result.key] = result
            self._write(source)

    def _settings(self, source: SourceRun) -> DegreeSettings:
        return DegreeSettings(self._views, self._limit, source.plugin_sha256)

    def _write(self, source: SourceRun) -> None:
        write_results(source.run.degrees_path, self._settings(source), self._known[source].values())
        if self._plugin and self._plugin.run:
            home = self._plugin.run.degrees_path
            itself = [each for each in self._sources if each.run.degrees_path == home]
            kept = [result for each in itself for result in self._known[each].values()]
            rows = {result.key: result for result in [*self._others, *self.results(), *kept]}
            write_results(home, DegreeSettings(self._views, self._limit, self._plugin.sha256), rows.values())


def _current(source: SourceRun) -> dict[tuple, DegreeResult]:
    """What the run's file holds of its present weights."""
    results = read_results(source.run.degrees_path)[1]
    return {result.key: result for result in results if result.checkpoint_sha256 == source.checkpoint_sha256}


def _others(plugin: Plugin | None, sources: list[SourceRun]) -> list[DegreeResult]:
    """What the plugin's run holds, with this plugin or plain, of runs that are not among the sources."""
    names = [source.run.name for source in sources]
    results = read_results(plugin.run.degrees_path)[1] if plugin and plugin.run else []
    return [result for result in results if result.run not in names and result.plugin_sha256 in (None, plugin.sha256)]


def _build(run: RunFolder, config: RunConfig, plugin: Plugin | None, target: int):
    path = plugin.path if plugin else None
    return create_model(
        config.model.name, checkpoint=run.best_checkpoint, plugin=path, **arguments_at(config, target, plugin=plugin))


def _hash_checkpoint(run: RunFolder) -> str:
    if not run.best_checkpoint.is_file():
        raise CheckpointError(f"{run.best_checkpoint}: no such checkpoint; `msnoah train` writes it after an epoch")
    return hash_file(run.best_checkpoint)


def _require_merging(run: RunFolder, config: RunConfig) -> None:
    try:
        check_arguments(config.model.name, ["tokens_merged"])
    except ModelError:
        raise ModelError(f"{run.path}: {config.model.name} has no tokens that it could merge; models that merge are "
                         "the deit_*_patch16_224") from None


def _check_numbers(
    runs: Sequence[RunFolder], targets: Sequence[int], scales: Sequence[float], limit: int | None,
) -> None:
    if not runs:
        raise ModelError("no runs: name one or more run folders")
    if not targets or targets[0] < 0:
        raise ModelError(f"tokens merged {list(targets)}: name one or more numbers, 0 or more")
    if scales and scales[0] <= 0:
        raise ModelError(f"tocom_scale={scales[0]:g}: expected numbers above 0; plain merging is evaluated anyway")
    if limit is not None and limit < 1:
        raise ModelError(f"limit={limit}: expected 1 image or more")
