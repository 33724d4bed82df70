"""Scores of a segmentation artifact by itself: counted as by hand, printed, drawn for the report."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from segmentation_artifact import CLASSES, MEAN, PALETTE, PREPROCESSING, STD, blocks, paint, write_segmenter

from msnoah.cli import main
from msnoah.commands.records import _lines
from msnoah.config import RunConfig
from msnoah.deploy.evaluation import evaluate_artifact
from msnoah.deploy.predictions import choose_images, image_score
from msnoah.deploy.segmenter import Segmenter
from msnoah.errors import ArtifactError, DataError
from msnoah.metrics.segmentation import SegmentationMetrics
from msnoah.run_folder import RunFolder, write_json

ROOT = Path(__file__).parents[2]
COUNT = 9


def _pair(number):
    """An image and its mask; the image's lower rows show another class than the mask, more of them in later images."""
    mask = blocks(40 + number, 32 + 5 * number, seed=number)
    shown = mask.copy()
    shown[len(mask) - 2 * number:] = (shown[len(mask) - 2 * number:] + 1) % len(CLASSES)
    mask[:3] = 255
    return paint(shown), mask


@pytest.fixture
def segmented_run(tmp_path, make_export_record):
    """A run on a folder of images and masks with an exported model, slid over the images."""
    for number in range(COUNT):
        for kind, pixels in zip(("images", "masks"), _pair(number)):
            folder = tmp_path / "data" / kind / "val"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    view = {"mode": "slide", "short_side": 64}
    data = {"source": "mask_folder", "path": str(tmp_path / "data"), "image_size": 32, "mean": MEAN, "std": STD,
            "interpolation": "bilinear", "classes": CLASSES, "segmentation": {"val": view}}
    config = {"model": {"name": "cgrseg_t"}, "data": data, "train": {"epochs": 1}}
    run = RunFolder.create(tmp_path / "run", RunConfig.model_validate(config))
    return _exported(run, make_export_record, {**PREPROCESSING, "view": view})


def _exported(run, make_export_record, preprocessing=PREPROCESSING, classes=CLASSES, **options):
    write_segmenter(run.onnx_path, preprocessing, classes, **options)
    write_json(run.export_path, make_export_record(run.onnx_path))
    return run


@pytest.mark.parametrize("options", [{}, {"pixels": True}, {"output": "logits"}])
def test_scores_against_counting_by_hand(segmented_run, make_export_record, options):
    view = {"mode": "slide", "short_side": 64}
    run = _exported(segmented_run, make_export_record, {**PREPROCESSING, "view": view}, **options)
    record = evaluate_artifact(run)
    segmenter, metrics = Segmenter(run.onnx_path), SegmentationMetrics(3)
    for image, mask in map(_pair, range(COUNT)):
        metrics.update(segmenter.label_map(image), mask)
    expected = metrics.record()
    assert {key: record[key] for key in expected} == expected and record["miou"] > 0.5
    assert record["images"] == COUNT and record["trivial"]["miou"] < record["miou"]
    facts = ("classes", "checkpoint", "artifact", "views", "palette")
    assert [record[key] for key in facts] == [CLASSES, "best.ckpt", "model.onnx", 1, PALETTE]


def test_pictures_of_the_worst_the_median_and_the_best(segmented_run):
    segmented_run.predictions_path.mkdir()
    (segmented_run.predictions_path / "9_old.png").touch()
    pictures = evaluate_artifact(segmented_run)["pictures"]
    assert [Path(picture["name"]).stem for picture in pictures] == ["8", "7", "5", "4", "1", "0"]
    assert [picture["kind"] for picture in pictures] == ["worst"] * 2 + ["median"] * 2 + ["best"] * 2
    scores = [picture["miou"] for picture in pictures]
    assert scores == sorted(scores) and scores[0] < 0.6 and scores[-1] > 0.95
    assert sorted(path.name for path in segmented_run.predictions_path.iterdir()) == [row["file"] for row in pictures]
    best = cv2.imread(str(segmented_run.predictions_path / "6_best.png"))[:, :, ::-1]
    image, mask = _pair(0)
    assert best.shape == (40, 3 * 32 + 220, 3) and np.array_equal(best[:, :32], image)
    assert np.array_equal(best[:3, 32:64], image[:3])   # where the mask does not count


@pytest.mark.parametrize("scores, expected", [
    ({}, []),
    ({3: 0.5}, [("worst", 3)]),
    ({0: 0.9, 1: 0.1, 2: 0.5}, [("worst", 1), ("worst", 2), ("best", 0)]),
    ({n: n / 9 for n in range(9)},
     [("worst", 0), ("worst", 1), ("median", 3), ("median", 4), ("best", 7), ("best", 8)]),
])
def test_no_image_is_shown_twice(scores, expected):
    assert choose_images(scores) == expected


def test_an_image_of_which_nothing_counts_has_no_score():
    labels = blocks(8, 8)
    assert image_score(labels, np.full((8, 8), 255, np.uint8), 3) is None and image_score(labels, labels, 3) == 1


def test_printed_without_mindspore(segmented_run):
    arguments = ["eval", str(segmented_run.path), "--artifact", "onnx"]
    code = f"import sys; sys.modules['mindspore'] = None; from msnoah.cli import main; sys.exit(main({arguments}))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    record = json.loads(segmented_run.onnx_evaluation_path.read_text())
    lines = [f"{key}: {record[key]:.4g}" for key in ("miou", "macc", "aacc")]
    lines.append(f"trivial_miou: {record['trivial']['miou']:.4g}")
    assert [line for line in lines if line not in answer.stdout.splitlines()] == []
    assert "confusion" not in answer.stdout and "pictures" not in answer.stdout


def test_inner_records_are_printed_behind_their_name():
    assert _lines({"a": 1, "b": {"c": 0.25, "d": [1]}, "e": [2]}) == "a: 1\nb_c: 0.25"


def test_samples_that_cannot_be_read_are_skipped_where_the_config_says_so(segmented_run, tmp_path):
    (tmp_path / "data" / "images" / "val" / "3.png").write_text("no image")
    with pytest.raises(DataError, match="3.png: not a whole image"):
        evaluate_artifact(segmented_run)
    config = segmented_run.config()
    segmented_run.write_config(config.model_copy(update={"data": config.data.model_copy(update={"corrupt": "skip"})}))
    record = evaluate_artifact(segmented_run)
    assert record["images"] == COUNT - 1 and [Path(row["name"]).stem for row in record["pictures"]][:2] == ["8", "7"]


@pytest.mark.parametrize("changes, words", [
    ({"classes": CLASSES[:2], "preprocessing": {**PREPROCESSING, "palette": []}}, "has 2 classes, but mask_folder"),
    ({"classes": ["road", "tree", "sky"]}, "its class 1 is 'tree', but that of mask_folder 'sky'; export the run anew"),
    ({"preprocessing": {**PREPROCESSING, "size": 64}}, "takes any x 3 x 64 x 64, but gets 1 x 3 x 32 x 32"),
])
def test_artifacts_that_do_not_fit_the_data(segmented_run, make_export_record, changes, words):
    run = _exported(segmented_run, make_export_record, **changes)
    with pytest.raises(ArtifactError, match=words) as caught:
        evaluate_artifact(run)
    assert "\n" not in str(caught.value)


def test_labels_are_not_averaged_over_the_looks_of_the_test_view(segmented_run, capsys):
    assert main(["eval", str(segmented_run.path), "--artifact", "onnx", "--views", "test"]) == 2
    err = capsys.readouterr().err
    assert "gives labels, which cannot be averaged over 12 scales and mirror images" in err and err.count("\n") == 1


def test_a_classifier_where_pixels_have_labels(segmented_run, make_export_record, capsys):
    preprocessing = {key: value for key, value in PREPROCESSING.items() if key != "task"}
    run = _exported(segmented_run, make_export_record, preprocessing)
    assert main(["eval", str(run.path), "--artifact", "onnx"]) == 2
    assert "model.onnx: classifies whole images or clips" in capsys.readouterr().err
