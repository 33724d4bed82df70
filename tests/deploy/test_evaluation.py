"""Accuracy from model.onnx alone: the same counts as by hand, for images and for clips in several views."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clip_artifact import CLIP, write_artifact, write_film

from msnoah.cli import main
from msnoah.config import RunConfig
from msnoah.data.batches import BatchLoader
from msnoah.data.sources import open_source
from msnoah.data.video_file import VideoFile
from msnoah.deploy.classifier import Classifier
from msnoah.deploy.evaluation import evaluate_artifact
from msnoah.errors import ArtifactError, DataError, RunFolderError
from msnoah.run_folder import RunFolder, write_json

ROOT = Path(__file__).parents[2]
DIGITS = [str(digit) for digit in range(10)]
GREY = {"image_size": 8, "mean": [0.5], "std": [0.5], "interpolation": "bicubic", "crop_fraction": 0.875}


@pytest.fixture
def digits_run(run, make_export_record):
    """A run on handwritten digits with a linear classifier as its export."""
    write_artifact(run.onnx_path, GREY, DIGITS, shape=[1, 8, 8])
    write_json(run.export_path, make_export_record(run.onnx_path))
    return run


def test_images_against_counting_by_hand(digits_run):
    record = evaluate_artifact(digits_run)
    data = digits_run.config().data
    source = open_source(data, "val")
    batch = next(BatchLoader(source, data, batch_size=len(source), training=False).epoch(0))
    predictions = Classifier(digits_run.onnx_path).logits_of_normalised(batch.images).argmax(1)
    assert record["predictions"] == predictions.tolist() and record["images"] == len(source)
    assert record["top1"] == np.mean(predictions == source.labels)
    assert record["confusion"][3][5] == np.sum((source.labels == 3) & (predictions == 5))
    facts = ("classes", "checkpoint", "artifact", "views")
    assert [record[key] for key in facts] == [DIGITS, "best.ckpt", "model.onnx", 1]


def test_without_mindspore(digits_run):
    arguments = ["eval", str(digits_run.path), "--artifact", "onnx"]
    code = f"import sys; sys.modules['mindspore'] = None; from msnoah.cli import main; sys.exit(main({arguments}))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    record = json.loads(digits_run.onnx_evaluation_path.read_text())
    assert f"top1: {record['top1']:.4g}" in answer.stdout and not digits_run.evaluation_path.exists()


@pytest.mark.parametrize("option", [("--checkpoint", "last"), ("--device", "CPU")])
def test_options_of_a_checkpoint_do_not_go_with_an_artifact(digits_run, option, capsys):
    assert main(["eval", str(digits_run.path), "--artifact", "onnx", *option]) == 2
    assert "leave them out with --artifact onnx" in capsys.readouterr().err


class _Films:
    """A VideoSource of films; the one of index 1 cannot be read."""

    classes, labels = ["a", "b", "c"], np.array([0, 1, 2, 0], np.int32)

    def __init__(self, folder):
        self._paths = [write_film(folder / f"{frames}.mp4", frames) for frames in (12, 13, 31, 5)]

    def __len__(self):
        return 4

    def video(self, index):
        if index == 1:
            raise DataError("13.mp4: cut short")
        return VideoFile(self._paths[index])

    def name(self, index):
        return str(self._paths[index])


def _clip_run(folder, make_export_record, monkeypatch, **test_view):
    views = {"val": {"short_side": 18}, "test": {"clips": 2, "crops": 3, "short_side": 18, **test_view}}
    clip = {"frames": 4, "interval": 3, "short_side": 18, **views}
    data = {"source": "camera_motion", "image_size": 16, "corrupt": "skip", "clip": clip, "interpolation": "bilinear",
            **{key: CLIP[key] for key in ("mean", "std")}}
    config = {"model": {"name": "squeezetime_r10"}, "data": data, "train": {"epochs": 1}}
    run = RunFolder.create(folder / "clips", RunConfig.model_validate(config))
    write_artifact(run.onnx_path, CLIP, ["a", "b", "c"])
    write_json(run.export_path, make_export_record(run.onnx_path))
    films = _Films(folder)
    monkeypatch.setattr("msnoah.deploy.evaluation.open_source", lambda data, split: films)
    return run, films


@pytest.mark.parametrize("kind, count", [("val", 1), ("test", 6)])
def test_probabilities_of_a_clips_views_are_averaged(tmp_path, make_export_record, monkeypatch, kind, count):
    run, films = _clip_run(tmp_path, make_export_record, monkeypatch)
    record = evaluate_artifact(run, views=kind)
    views = BatchLoader(films, run.config().data, batch_size=4, training=False, views=kind).views
    classifier = Classifier(run.onnx_path)
    expected = [int(classifier.probabilities(views.evaluation(index)).mean(0).argmax()) for index in (0, 2, 3)]
    assert record["predictions"] == expected and (record["images"], record["views"]) == (3, count)


@pytest.mark.parametrize("classes, preprocessing, words", [
    (["a", "b"], CLIP, "model.onnx: has 2 classes, but camera_motion has 3"),
    (["a", "b", "c"], {**CLIP, "frames": 5}, "takes any x 3 x 5 x 16 x 16, but gets 3 x 3 x 4 x 16 x 16"),
])
def test_artifacts_that_do_not_fit_the_data(tmp_path, make_export_record, monkeypatch, classes, preprocessing, words):
    run, _ = _clip_run(tmp_path, make_export_record, monkeypatch)
    write_artifact(run.onnx_path, preprocessing, classes)
    write_json(run.export_path, make_export_record(run.onnx_path))
    with pytest.raises(ArtifactError, match=words) as caught:
        evaluate_artifact(run)
    assert "\n" not in str(caught.value)


def test_a_run_that_was_not_exported(run):
    with pytest.raises(RunFolderError, match="nothing exported yet"):
        evaluate_artifact(run)


def test_test_views_of_another_size_than_the_artifact(tmp_path, make_export_record, monkeypatch):
    run, _ = _clip_run(tmp_path, make_export_record, monkeypatch, size=18)
    with pytest.raises(ArtifactError, match="takes any x 3 x 4 x 16 x 16, but gets .* x 18 x 18; export the model"):
        evaluate_artifact(run, views="test")
