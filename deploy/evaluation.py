"""Accuracy of an artifact, by itself: the val split through ONNX Runtime, counted as MindSpore's evaluation is."""

from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from msnoah.config import DataConfig
from msnoah.data.batches import BatchLoader
from msnoah.data.segmentation_batches import SegmentationLoader
from msnoah.data.sources import Source, open_source
from msnoah.data.views import ViewKind, count_views
from msnoah.deploy.artifact import Artifact
from msnoah.deploy.artifact_file import exported_artifact
from msnoah.deploy.classifier import Classifier
from msnoah.deploy.predictions import draw_predictions, image_score
from msnoah.deploy.segmenter import Segmenter
from msnoah.errors import ArtifactError
from msnoah.metrics.classification import ClassificationMetrics
from msnoah.metrics.segmentation import SegmentationMetrics
from msnoah.run_folder import RunFolder

ROWS = 16  # of a batch; more are no faster on a CPU, and clips are large


def evaluate_artifact(run: RunFolder, *, views: ViewKind = "val", threads: int = 1) -> dict[str, Any]:
    """Evaluates a run's model.onnx on the val split of its data. MindSpore is not needed.

    Args:
        run: a folder with an exported model.
        views: which of the config's two ways of looking at clips, or at images with masks; other images have one.
        threads: of ONNX Runtime.

    Returns:
        What `evaluate_run` returns of a checkpoint, and artifact (its file), sha256 and runtime; of segmentation also
        palette, and the pictures that are drawn into the run's predictions/ (see `draw_predictions`).

    Raises:
        RunFolderError, ProfileError: nothing exported yet, or model.onnx is not the file that was exported.
        ArtifactError: an artifact that does not fit the data.
        DataError: data that is missing or damaged.
    """
    record = evaluate_file(run, exported_artifact(run, "onnx"), views=views, threads=threads)
    return {**record, "checkpoint": run.export_record().get("checkpoint")}


def evaluate_file(
    run: RunFolder, artifact: Artifact, *, views: ViewKind = "val", threads: int = 1, draw: bool = True,
) -> dict[str, Any]:
    """Evaluates any ONNX artifact of a run's model as `evaluate_artifact` does model.onnx; no checkpoint is named.

    With draw=False no pictures are drawn, and those in predictions/ stay as they are.
    """
    config = run.config()
    model = (Segmenter if config.data.segmentation else Classifier)(artifact.path, threads)
    source = open_source(config.data, "val")
    _require_classes(model, source.classes, config.data.source)
    measured = _segment(run, model, source, config.data, views, draw) if config.data.segmentation else _classify(
        model, source, config.data, views)
    return {
        **measured, "classes": list(source.classes), "views": count_views(config.data, views),
        "artifact": artifact.path.name, "sha256": artifact.sha256, "runtime": "onnxruntime", "threads": threads,
    }


def _classify(classifier: Classifier, source: Source, data: DataConfig, views: ViewKind) -> dict[str, Any]:
    samples = max(1, ROWS // count_views(data, views))
    loader = BatchLoader(source, data, batch_size=samples, training=False, views=views)
    metrics = ClassificationMetrics(len(source.classes))
    for batch in tqdm(loader.epoch(0), total=len(loader), desc="evaluating", leave=False):
        if not batch.count:   # all of its samples are skipped
            continue
        logits = classifier.logits_of_normalised(batch.images[:batch.count * batch.views])   # -> (count * views, K)
        metrics.update(logits, batch.labels[:batch.count], batch.views)
    return metrics.record()


def _segment(
    run: RunFolder, segmenter: Segmenter, source: Source, data: DataConfig, views: ViewKind, draw: bool,
) -> dict[str, Any]:
    view = data.segmentation.test if views == "test" else data.segmentation.val
    segmenter.require_view(view)
    loader = SegmentationLoader(source, data, batch_size=1, training=False, views=views)
    metrics, scores = SegmentationMetrics(len(source.classes)), {}
    for number, windows in enumerate(tqdm(loader.epoch(0), total=len(loader), desc="evaluating", leave=False)):
        if windows is None:   # a sample that is skipped
            continue
        label_map = segmenter.label_map_of_normalised(windows.images, windows.plan)
        metrics.update(label_map, windows.mask)
        scores[number] = image_score(label_map, windows.mask, len(source.classes))
    record = metrics.record()
    if not draw:
        return record
    counted = {number: score for number, score in scores.items() if score is not None}
    pictures = draw_predictions(run.predictions_path, segmenter, source, counted, view)
    return {**record, "palette": segmenter.palette.tolist(), "pictures": pictures}


def _require_classes(model: Classifier | Segmenter, classes: Sequence[str], data: str) -> None:
    if len(model.classes) != len(classes):
        raise ArtifactError(f"{model.path}: has {len(model.classes)} classes, but {data} has {len(classes)}; "
                            "export the run anew")
    other = next((pair for pair in enumerate(zip(model.classes, classes)) if pair[1][0] != pair[1][1]), None)
    if other:
        number, (ours, theirs) = other
        raise ArtifactError(f"{model.path}: its class {number} is '{ours}', but that of {data} '{theirs}'; "
                            "export the run anew")
