"""Evaluation of many training states of one run: the model is built and compiled once, its weights are exchanged."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from msnoah.data.batches import BatchLoader
from msnoah.data.sources import Source, open_source
from msnoah.data.spread_source import SpreadSource, check_part
from msnoah.nn import step_inputs
from msnoah.registry import create_model
from msnoah.run_folder import RunFolder
from msnoah.training.device import select_device
from msnoah.training.evaluator import evaluation_rows, validation_loader
from msnoah.training.mixed_precision import mixed_precision
from msnoah.training.tasks import find_task
from msnoah.training.training_state import restore


class StateEvaluator:
    """The run's model on its val split. Of averaged weights the averages count: they have the weights' own names."""

    def __init__(self, run: RunFolder, *, images: int | None = None, device: str | None = None):
        """Opens data and model.

        Args:
            run: a folder that training has made.
            images: so many of the val split, spread evenly over it; all if None. For images with one label alone.
            device: CPU, GPU or Ascend instead of the config's.

        Raises:
            DataError: `images` below 1 or for clips or pixels, or data that is missing.
            DeviceError, ModelError: from the parts.
        """
        config = run.config()
        check_part(config.data, images)
        select_device(device or config.device)
        source = _limit(open_source(config.data, "val"), images)
        self.images, self._classes = len(source), len(source.classes)
        self._task = find_task(config.data)
        self._loader: BatchLoader = validation_loader(source, config)
        model = create_model(config.model.name, **config.model_arguments())
        self._weights = step_inputs.weights(model)
        mixed_precision(model, config.train.amp_level)
        self._evaluate = self._task.evaluator(model, config.train.mode, evaluation_rows(config))

    def __call__(self, arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, float]:
        """Measures of a state's weights, by name: loss where the task has one, and the score that chooses best.ckpt.

        Raises:
            CheckpointError: weights that are not the run's; names `path`.
        """
        restore({"": self._weights}, dict(arrays), path)
        metrics = self._evaluate(self._loader.epoch(0), self._classes).result()
        return {key: float(metrics[key]) for key in ("loss", self._task.score) if key in metrics}


def _limit(source: Source, images: int | None) -> Source:
    return source if images is None else SpreadSource(source, images)
