"""What a report says of a run that labels pixels."""

import base64
import re

import cv2
import numpy as np
import pytest

from msnoah.config import RunConfig
from msnoah.deploy.picture_file import write_picture
from msnoah.deploy.report import write_report
from msnoah.errors import RunFolderError
from msnoah.metrics.segmentation import SegmentationMetrics
from msnoah.run_folder import RunFolder, write_json
from tests.deploy.page_checks import HOSTILE, read_page


@pytest.fixture
def run(tmp_path):
    """A segmentation run that holds nothing but its config."""
    data = {"source": "mask_folder", "image_size": 32, "segmentation": {}}
    config = {"model": {"name": "cgrseg_t"}, "data": data, "train": {"epochs": 1}}
    return RunFolder.create(tmp_path / "run", RunConfig.model_validate(config))


def _read(run):
    path = write_report(run)
    return path.read_text(encoding="utf-8"), read_page(path)


def _record(classes, **changes):
    """Nine of ten pixels of each class are right; the tenth is taken for class 0, that of class 0 for class 1."""
    metrics = SegmentationMetrics(classes)
    labels = np.repeat(np.arange(classes), 10)
    predictions = np.where(np.arange(10 * classes) % 10 == 0, np.where(labels == 0, 1, 0), labels)
    metrics.update(predictions[None], labels[None])
    names = [HOSTILE, *(f"class {number}" for number in range(1, classes))]
    return {**metrics.record(), "classes": names, "checkpoint": "a/best.ckpt", "views": 1, **changes}


def _add_onnx(run, classes, **changes):
    picture = np.full((30, 90, 3), (200, 40, 10), np.uint8)
    write_picture(run.predictions_path / "1_worst.png", picture)
    pictures = [{"file": "1_worst.png", "kind": "worst", "name": HOSTILE, "miou": 0.125},
                {"file": "2_best.png", "kind": "best", "name": "gone", "miou": 0.875}]
    record = _record(classes, palette=[[1, 2, 3]] * classes, pictures=pictures, sha256="ab", **changes)
    write_json(run.onnx_evaluation_path, record)


def test_without_an_evaluation_the_best_epoch_is_the_headline(run):
    run.write_history([{"epoch": e, "phase": "train", "step": e, "val_miou": 0.2 * e, "val_macc": 0.3, "val_aacc": 0.4}
                       for e in (1, 2)])
    page, parsed = _read(run)
    assert "Best validation mIoU40.0%" in parsed.text and "Validation scores of pixels" in parsed.text
    assert all(name in parsed.text for name in ("mIoU", "mAcc", "aAcc")) and "Labelled pixels" not in page


def test_scores_stand_beside_the_trivial_ones(run):
    record = _record(3)
    write_json(run.evaluation_path, record)
    _, parsed = _read(run)
    shown = [f"{record[key]:.1%}" for key in ("miou", "macc", "aacc")]
    words = (f"mIoU, held-out images{shown[0]}", f"commonest class ({HOSTILE}): {record['trivial']['miou']:.1%}",
             "MindSpore" + "".join(shown), f"always {HOSTILE}", "draws here what the artifact sees")
    assert [word for word in words if word not in parsed.text] == []
    assert "top-1" not in parsed.text and "Accuracy" not in parsed.text


def test_classes_have_their_iou_their_share_and_their_colour(run):
    _add_onnx(run, 3)
    page, parsed = _read(run)
    iou = _record(3)["per_class"]
    assert f"class1{iou[1]:.1%}90.0%33.3%" in "".join(parsed.text.split())
    assert page.count('class="swatch" style="background:#010203"') == 3


def test_the_matrix_is_in_percent_of_its_rows(run):
    write_json(run.evaluation_path, _record(3))
    page, parsed = _read(run)
    svg = re.search(r'<svg class="heat".*?</svg>', page, re.DOTALL).group()
    assert re.findall(r">(\d+)</text>", svg) == ["90", "10", "10", "90", "10", "90"]
    assert "class 2 taken for class 1: 0 of 10" in parsed.text and "Confusion matrix of pixels (%)" in parsed.text


@pytest.mark.parametrize("classes, words", [(31, "the lowest IoU"), (101, "20 of 101")])
def test_many_classes(run, classes, words):
    write_json(run.evaluation_path, _record(classes))
    _, parsed = _read(run)
    assert words in parsed.text and "Confusion matrix" not in parsed.text
    assert ("Classes most often mixed up" in parsed.text) == (classes <= 100)


@pytest.mark.parametrize("changes, words", [
    ({"miou": 0.5}, "differs from MindSpore's by +10.00 percentage points"),
    ({"views": 12}, "not of the same images and views"),
])
def test_the_artifact_stands_beside_mindspore(run, changes, words):
    write_json(run.evaluation_path, _record(3, miou=0.4))
    _add_onnx(run, 3, **changes)
    _, parsed = _read(run)
    assert words in parsed.text and "best.ckpt in ONNX Runtime." in parsed.text


def test_pictures_lie_in_the_page(run):
    _add_onnx(run, 3)
    page, parsed = _read(run)
    address = next(address for address in parsed.addresses if address.startswith("data:image/jpeg;base64,"))
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (30, 90, 3) and abs(pixels[9, 9].astype(int) - (10, 40, 200)).max() < 8   # JPEG
    assert page.count("<img") == 1 and f"worst: mIoU 12.5% {HOSTILE}" in parsed.text and "gone" not in parsed.text


def test_a_damaged_picture_leaves_a_gap(run):
    _add_onnx(run, 3)
    (run.predictions_path / "1_worst.png").write_text("no picture")
    page, parsed = _read(run)
    assert "1_worst.png cannot be read" in parsed.text and "<img" not in page


def test_scores_of_another_artifact_are_said(run, onnx_path, make_export_record):
    run.onnx_path.write_bytes(onnx_path.read_bytes())
    write_json(run.export_path, make_export_record(run.onnx_path))
    _add_onnx(run, 3)
    assert "are of another model.onnx" in _read(run)[1].text


@pytest.mark.parametrize("content", [
    "{}", '{"classes": ["a"]}', '{"classes": ["a"], "per_class": [0.5], "per_class_accuracy": 3}',
    '{"classes": ["a"], "per_class": [0.5], "per_class_accuracy": [1], "trivial": {"class": 7}}'])
def test_damaged_records_cost_one_line(run, content):
    run.evaluation_path.write_text(content)
    with pytest.raises(RunFolderError, match="damaged") as caught:
        write_report(run)
    assert "\n" not in str(caught.value)
