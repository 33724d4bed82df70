"""What a run is trained for: the loss, what is measured, and which measure chooses the best epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from mindspore import Tensor

from msnoah.config import DataConfig
from msnoah.data.batches import BatchLoader
from msnoah.data.segmentation_batches import SegmentationLoader
from msnoah.training.classification_evaluator import ClassificationEvaluator
from msnoah.training.losses import pixel_cross_entropy, soft_target_cross_entropy
from msnoah.training.segmentation_evaluator import SegmentationEvaluator


@dataclass(frozen=True)
class Task:
    """`measures` go into the history, the first of them chooses best.ckpt; `trivial` is where metrics hold the score of
    a model that has learnt nothing."""

    loss: Callable[[Tensor, Tensor], Tensor]
    loader: type[BatchLoader]
    evaluator: type
    measures: tuple[str, ...]
    trivial: tuple[str, ...]

    @property
    def score(self) -> str:
        """The measure that chooses the best epoch; more is better."""
        return self.measures[0]

    def trivial_score(self, metrics: dict[str, Any]) -> float:
        """The score of a model that has learnt nothing, as metrics hold it."""
        return reduce(dict.__getitem__, self.trivial, metrics)


CLASSIFICATION = Task(soft_target_cross_entropy, BatchLoader, ClassificationEvaluator, ("top1", "top5", "loss"),
                      ("majority_class_rate",))
SEGMENTATION = Task(pixel_cross_entropy, SegmentationLoader, SegmentationEvaluator, ("miou", "macc", "aacc"),
                    ("trivial", "miou"))


def find_task(data: DataConfig) -> Task:
    """The task of the data: pixels with labels are segmented, images and clips with one are classified."""
    return SEGMENTATION if data.segmentation else CLASSIFICATION
