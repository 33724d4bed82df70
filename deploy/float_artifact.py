"""A run's float model.onnx, and what artifacts made of it are judged by: the same data, and its own outputs."""

import dataclasses
import functools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.artifact_file import exported_artifact
from msnoah.deploy.calibration_samples import Samples
from msnoah.deploy.evaluation import evaluate_file
from msnoah.deploy.exported_model import ExportedModel
from msnoah.deploy.logged_process import run_logged
from msnoah.deploy.process_ending import last_words
from msnoah.errors import ArtifactError, ConversionError, RunFolderError
from msnoah.export.model_edits import prepare
from msnoah.export.onnx_file import save_onnx
from msnoah.export.verification import measure_difference
from msnoah.run_folder import RunFolder

Record = dict[str, Any]
MEASURES = {"top1": "top-1", "miou": "mIoU"}
"""What accuracy is, by its key in a record of evaluation: as it is printed."""

LOADING = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
LOADING_LIMIT_S = 600

COMPARED = 256
"""Samples of the val split on which outputs are compared."""


class FloatArtifact:
    """`model` is the graph, with the types of its values; `artifact` says what export.json knows of it."""

    def __init__(self, run: RunFolder, threads: int = 1):
        """Opens model.onnx as it was exported.

        Raises:
            RunFolderError, ProfileError: nothing exported yet, or model.onnx is not the file that was exported.
            ArtifactError: weights lie in a file beside it, or it does not say how pixels become its input.
        """
        self.run, self.threads = run, threads
        self.artifact: Artifact = exported_artifact(run, "onnx")
        self.data = run.config().data
        self.runner = ExportedModel(self.artifact.path, threads)
        self.model = onnx.load(self.artifact.path, load_external_data=False)
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in self.model.graph.initializer):
            raise ArtifactError(f"{self.artifact.path}: has weights in a file beside it; what can be quantised is one "
                                "file, below 2 GB")
        self.model = prepare(self.model)

    def feeds(self, samples: Samples, limit: int | None = None) -> Iterator[np.ndarray]:
        """Batches of samples as the graph takes them."""
        return (self.runner.feed(pixels, self.data) for pixels in samples.batches(limit))

    @functools.cached_property
    def accuracy(self) -> Record:
        """Its own accuracy, as `score` gives it."""
        return self._score(self.artifact.path)

    def require_loadable(self, model: onnx.ModelProto) -> None:
        """ConversionError if ONNX Runtime cannot load a model, or ends its process over it: it tries in a child."""
        with _written(model) as path:
            log = path.with_name("log")
            ending = run_logged([sys.executable, "-c", LOADING, str(path)], log, LOADING_LIMIT_S)
            if ending:
                raise ConversionError(f"{self.run.path}: ONNX Runtime cannot load what was made of its model: a process"
                                      f" that did so {ending}{last_words(log)}")

    def score(self, model: onnx.ModelProto) -> Record:
        """Accuracy of a model on the val split: {"top1" or "miou": 0-1, "images": how many}."""
        with _written(model) as path:
            return self._score(path)

    def drop(self, accuracy: Record) -> float:
        """How much of its accuracy (0-1) another one has lost; negative if it has gained."""
        return self.accuracy[self.measure] - accuracy[self.measure]

    @property
    def measure(self) -> str:
        """The key of what accuracy is."""
        return next(key for key in MEASURES if key in self.accuracy)

    def compare(self, model: onnx.ModelProto) -> Record:
        """Outputs of a model beside its own on COMPARED samples of the val split.

        Returns:
            max_rel: the largest difference of a batch over its largest output, infinity as None; of labels None too.
            agreement: share of predictions, of images or of pixels, that are the same.
            finite: whether all outputs are numbers; samples: how many were compared.
        """
        samples = Samples(self.data, "val", COMPARED, least=1)
        same, worst, finite = [], 0.0, True
        with _written(model) as path:
            other = ExportedModel(path, self.threads)
            for pixels in samples.batches():
                ours, theirs = other.run(pixels, self.data), self.runner.run(pixels, self.data)
                finite &= bool(np.isfinite(ours).all())
                worst = max(worst, measure_difference(ours, theirs)[1])
                same.append((_labels(ours) == _labels(theirs)).mean())
        is_number = np.issubdtype(theirs.dtype, np.floating) and np.isfinite(worst)
        return {"max_rel": worst if is_number else None, "agreement": float(np.mean(same)), "finite": finite,
                "samples": len(samples)}

    def _score(self, path: Path) -> Record:
        artifact = dataclasses.replace(self.artifact, path=path)
        record = evaluate_file(self.run, artifact, threads=self.threads, draw=False)
        measure = next(key for key in MEASURES if key in record)
        return {measure: record[measure], "images": record["images"]}


def _labels(outputs: np.ndarray) -> np.ndarray:
    """Logits (B, K, ...) as labels (B, ...); labels stay."""
    return outputs.argmax(1) if np.issubdtype(outputs.dtype, np.floating) else outputs


class _written:
    """A model as a file for as long as the block runs; RunFolderError where the system does not let it be written."""

    def __init__(self, model: onnx.ModelProto):
        self._model = model

    def __enter__(self) -> Path:
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="msnoah-")
        except OSError as error:
            raise RunFolderError(f"no temporary folder can be made: {error.strerror or error}") from error
        path = Path(self._folder.name) / "candidate.onnx"
        try:
            save_onnx(self._model, path)
        except BaseException:
            self._folder.cleanup()
            raise
        return path

    def __exit__(self, *reasons) -> None:
        self._folder.cleanup()
