"""Accuracy of an artifact, by itself: the val split through ONNX Runtime, counted as MindSpore's evaluation is."""

from typing import Any

from tqdm import tqdm

from msnoah.data.batches import BatchLoader
from msnoah.data.sources import open_source
from msnoah.data.views import ViewKind, count_views
from msnoah.deploy.artifact import exported_artifact
from msnoah.deploy.classifier import Classifier
from msnoah.errors import ArtifactError
from msnoah.metrics.classification import ClassificationMetrics
from msnoah.run_folder import RunFolder

ROWS = 16  # of a batch; more are no faster on a CPU, and clips are large


def evaluate_artifact(run: RunFolder, *, views: ViewKind = "val", threads: int = 1) -> dict[str, Any]:
    """Evaluates a run's model.onnx on the val split of its data. MindSpore is not needed.

    Args:
        run: a folder with an exported model.
        views: which of the config's two ViewConfigs clips are looked at by; images have one view.
        threads: of ONNX Runtime.

    Returns:
        What `evaluate_run` returns of a checkpoint, and artifact (its file), sha256 and runtime.

    Raises:
        RunFolderError, ProfileError: nothing exported yet, or model.onnx is not the file that was exported.
        ArtifactError: an artifact that does not fit the data.
        DataError: data that is missing or damaged.
    """
    artifact = exported_artifact(run, "onnx")
    classifier, config = Classifier(artifact.path, threads), run.config()
    source = open_source(config.data, "val")
    if len(classifier.classes) != len(source.classes):
        raise ArtifactError(f"{artifact.path}: has {len(classifier.classes)} classes, but {config.data.source} has "
                            f"{len(source.classes)}; export the run anew")
    samples = max(1, ROWS // count_views(config.data, views))
    loader = BatchLoader(source, config.data, batch_size=samples, training=False, views=views)
    metrics = ClassificationMetrics(len(source.classes))
    for batch in tqdm(loader.epoch(0), total=len(loader), desc="evaluating", leave=False):
        if not batch.count:   # all of its samples are skipped
            continue
        logits = classifier.logits_of_normalised(batch.images[:batch.count * batch.views])   # -> (count * views, K)
        metrics.update(logits, batch.labels[:batch.count], batch.views)
    return {
        **metrics.record(), "classes": list(source.classes), "checkpoint": run.export_record().get("checkpoint"),
        "views": loader.views.count, "artifact": artifact.path.name, "sha256": artifact.sha256,
        "runtime": "onnxruntime", "threads": threads,
    }
