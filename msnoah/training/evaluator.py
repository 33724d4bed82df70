"""Evaluation in graph mode: every batch has one shape, the last one is padded and only its real images count."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mindspore import Tensor, nn
from tqdm import tqdm

from msnoah.config import RunConfig
from msnoah.data.batches import Batch, BatchLoader
from msnoah.data.sources import Source, open_source
from msnoah.data.views import ViewKind, count_views
from msnoah.errors import CheckpointError
from msnoah.registry import create_model
from msnoah.run_folder import RunFolder
from msnoah.training.device import select_device
from msnoah.metrics.classification import ClassificationMetrics
from msnoah.training.mixed_precision import mixed_precision
from msnoah.training.train_step import compiled


class Evaluator:
    """Runs a model over a data set; compiled once, whatever weights the model holds later."""

    def __init__(self, model: nn.Cell, mode: str):
        self._model = model

        def predict(images):
            return model(images)

        self._predict = compiled(predict, mode)

    def __call__(self, batches: Iterable[Batch], classes: int) -> ClassificationMetrics:
        """Metrics of the model in evaluation mode over the batches."""
        self._model.set_train(False)
        metrics = ClassificationMetrics(classes)
        for batch in batches:
            logits = self._predict(Tensor(batch.images)).asnumpy()   # (B * views, C, [T,] H, W) -> (B * views, K)
            metrics.update(logits[: batch.count * batch.views], batch.labels[: batch.count], batch.views)
        return metrics


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
        top1, top5 (5 classes or more), loss, images, majority_class_rate, per_class accuracy, classes, checkpoint, views
        (of a sample), predictions, most_confused, and for at most 100 classes `confusion`: rows are labels, columns are
        predictions.

    Raises:
        CheckpointError: no such checkpoint, or one that does not fit the model.
        DeviceError: the device is not there.
    """
    config, path = run.config(), _checkpoint_path(run, checkpoint)
    select_device(device or config.device)
    model = create_model(config.model.name, checkpoint=path, **config.model_arguments())
    mixed_precision(model, config.train.amp_level)
    source = open_source(config.data, "val")
    loader = validation_loader(source, config, views)
    progress = tqdm(loader.epoch(0), total=len(loader), desc="evaluating", leave=False)
    metrics = Evaluator(model, config.train.mode)(progress, len(source.classes))
    return {**metrics.record(), "classes": list(source.classes), "checkpoint": str(path), "views": loader.views.count}


def validation_loader(source: Source, config: RunConfig, views: ViewKind = "val") -> BatchLoader:
    """Batches of the val split, in order and without augmentation; a batch has about as many rows as the config says."""
    rows = config.train.eval_batch_size or config.train.batch_size
    size = max(1, min(rows // count_views(config.data, views), len(source)))
    return BatchLoader(source, config.data, batch_size=size, training=False, seed=config.seed, views=views)


def _checkpoint_path(run: RunFolder, checkpoint: str | Path) -> Path:
    path = {"best": run.best_checkpoint, "last": run.last_checkpoint}.get(str(checkpoint), Path(checkpoint))
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; expected 'best', 'last' or the path of a weights file")
    return path
