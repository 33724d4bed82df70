"""Evaluation of a run's checkpoint on the val split of its data."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from msnoah.config import RunConfig
from msnoah.data.batches import BatchLoader
from msnoah.data.sources import Source, open_source
from msnoah.data.views import ViewKind, count_views
from msnoah.errors import CheckpointError
from msnoah.registry import create_model
from msnoah.run_folder import RunFolder
from msnoah.training.device import select_device
from msnoah.training.mixed_precision import mixed_precision
from msnoah.training.tasks import find_task


def evaluate_run(
    run: RunFolder, *, checkpoint: str | Path = "best", device: str | None = None, views: ViewKind = "val",
) -> dict[str, Any]:
    """Evaluates a run's checkpoint on the val split of its data.

    Args:
        run: a folder that training has made.
        checkpoint: "best", "last", or the path of a weights file.
        device: CPU, GPU or Ascend instead of the config's.
        views: which of the config's two ViewConfigs clips are looked at by; images have one view.

    Returns:
        What the metrics of the task record (see `msnoah.metrics`: of classification top1, loss, confusion and more, of
        segmentation miou, per_class and more), and classes, checkpoint, and views: how often a sample was looked at.

    Raises:
        CheckpointError: no such checkpoint, or one that does not fit the model.
        DeviceError: the device is not there.
    """
    config, path = run.config(), _checkpoint_path(run, checkpoint)
    select_device(device or config.device)
    plugin = config.model.plugin if str(path) == config.model.checkpoint else None   # what a run wrote has its own
    model = create_model(config.model.name, checkpoint=path, plugin=plugin, **config.model_arguments())
    mixed_precision(model, config.train.amp_level)
    source = open_source(config.data, "val")
    loader = validation_loader(source, config, views)
    progress = tqdm(loader.epoch(0), total=len(loader), desc="evaluating", leave=False)
    evaluate = find_task(config.data).evaluator(model, config.train.mode, evaluation_rows(config))
    metrics = evaluate(progress, len(source.classes))
    views = count_views(config.data, views)
    return {**metrics.record(), "classes": list(source.classes), "checkpoint": str(path), "views": views}


def validation_loader(source: Source, config: RunConfig, views: ViewKind = "val") -> BatchLoader:
    """Batches of the val split, in order and without augmentation; a batch has about as many rows as the config says."""
    size = max(1, min(evaluation_rows(config) // count_views(config.data, views), len(source)))
    loader = find_task(config.data).loader
    return loader(source, config.data, batch_size=size, training=False, seed=config.seed, views=views)


def evaluation_rows(config: RunConfig) -> int:
    """How many images, clips or windows go through the model at a time."""
    return config.train.eval_batch_size or config.train.batch_size


def _checkpoint_path(run: RunFolder, checkpoint: str | Path) -> Path:
    path = {"best": run.best_checkpoint, "last": run.last_checkpoint}.get(str(checkpoint), Path(checkpoint))
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; expected 'best', 'last' or the path of a weights file")
    return path
