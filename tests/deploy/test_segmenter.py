"""Label maps from an artifact alone: any size, in one window or through many, from labels, logits or pixels."""

import json

import numpy as np
import onnx
import pytest
from clip_artifact import IMAGE, write_artifact
from onnx.reference import ReferenceEvaluator
from segmentation_artifact import CLASSES, PALETTE, PREPROCESSING, blocks, paint, write_segmenter

from msnoah.config import SegmentationViewConfig
from msnoah.data.label_map import join
from msnoah.data.preprocessing import normalise
from msnoah.data.segmentation_views import evaluation_windows
from msnoah.deploy.classifier import Classifier
from msnoah.deploy.segmenter import Segmenter
from msnoah.errors import ArtifactError, RuntimeUnavailableError

SLIDE = {**PREPROCESSING, "view": {"mode": "slide", "short_side": 64, "stride": 16}}


@pytest.fixture
def segmenter(tmp_path):
    return Segmenter(write_segmenter(tmp_path / "model.onnx"))


def test_what_the_metadata_say(segmenter):
    assert segmenter.classes == CLASSES and segmenter.palette.tolist() == PALETTE and segmenter.verified
    assert segmenter.data.segmentation.val.mode == "whole" and segmenter.gives_labels


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("preprocessing, size", [
    (PREPROCESSING, (32, 32)), (PREPROCESSING, (32, 20)), (SLIDE, (64, 96))])
def test_painted_labels_are_found_where_nothing_is_resized(tmp_path, preprocessing, size, pixels):
    labels = blocks(*size)
    segmenter = Segmenter(write_segmenter(tmp_path / "model.onnx", preprocessing, pixels=pixels))
    assert np.array_equal(segmenter.label_map(paint(labels)), labels)


@pytest.mark.parametrize("preprocessing", [PREPROCESSING, SLIDE])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (301, 2), (45, 131)])
def test_every_size_is_labelled(tmp_path, preprocessing, size):
    segmenter = Segmenter(write_segmenter(tmp_path / "model.onnx", preprocessing))
    found = segmenter.label_map(paint(np.full(size, 2, np.uint8)))
    assert found.shape == size and found.dtype == np.uint8 and (found == 2).all()


def test_grey_images_are_labelled_as_their_colours(segmenter):
    grey = np.random.default_rng(0).integers(0, 256, (40, 50, 1), np.uint8)
    assert np.array_equal(segmenter.label_map(grey), segmenter.label_map(np.repeat(grey, 3, 2)))


@pytest.mark.parametrize("view", [
    {"mode": "whole"}, {"mode": "slide", "short_side": 64, "scales": [0.75, 1.5], "flip": True}])
def test_logits_are_joined_as_in_evaluation(tmp_path, view):
    segmenter = Segmenter(write_segmenter(tmp_path / "model.onnx", {**PREPROCESSING, "view": view}, output="logits"))
    image = paint(blocks(50, 70, side=23))
    windows, plan = evaluation_windows(image, segmenter.data, segmenter.data.segmentation.val)
    outputs = ReferenceEvaluator(onnx.load(segmenter.path)).run(
        None, {"image": normalise(windows, segmenter.data)})[0]
    found = segmenter.label_map(image)
    assert (found == join(outputs, plan)).mean() > 0.999   # but for ties that float32 breaks otherwise
    assert (found == blocks(50, 70, side=23)).mean() > 0.7


@pytest.mark.parametrize("pixels", [False, True])
def test_a_loaders_windows_give_the_same(tmp_path, pixels):
    segmenter = Segmenter(write_segmenter(tmp_path / "model.onnx", SLIDE, pixels=pixels))
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    windows, plan = evaluation_windows(image, segmenter.data, segmenter.data.segmentation.val)
    found = segmenter.label_map_of_normalised(normalise(windows, segmenter.data), plan)
    assert np.array_equal(found, segmenter.label_map(image))


def test_another_view_than_that_of_the_metadata(segmenter):
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    slid = segmenter.label_map(image, SegmentationViewConfig(**SLIDE["view"]))
    assert slid.shape == (70, 90) and not np.array_equal(slid, segmenter.label_map(image))


def test_colours_are_made_up_where_there_are_none(tmp_path):
    segmenter = Segmenter(write_segmenter(tmp_path / "model.onnx", {**PREPROCESSING, "palette": []}))
    assert len(np.unique(segmenter.palette, axis=0)) == 3


def _without(key):
    return {name: value for name, value in PREPROCESSING.items() if name != key}


@pytest.mark.parametrize("preprocessing, options, words", [
    (_without("view"), {}, "its preprocessing lacks 'view'"),
    (_without("mean"), {}, "its preprocessing lacks 'mean'"),
    ({**PREPROCESSING, "view": {"mode": "tiles"}}, {}, "preprocessing of another form, val.mode"),
    ({**PREPROCESSING, "view": {"scales": [0.5, 1]}}, {}, "gives labels, which cannot be averaged over 2"),
    ({**PREPROCESSING, "view": {"flip": True}}, {}, "which cannot be averaged over 2 scales and mirror"),
    ({**PREPROCESSING, "palette": PALETTE[:2]}, {}, "has 3 classes, but a palette of 2"),
    ({**PREPROCESSING, "palette": [[300, 0, 0]] * 3}, {}, "preprocessing of another form, palette.0.0"),
    (PREPROCESSING, {"output": "scores"}, "its output is 'scores', expected 'labels' or 'logits'"),
])
def test_metadata_that_cannot_be_followed(tmp_path, preprocessing, options, words):
    path = write_segmenter(tmp_path / "model.onnx", preprocessing, **options)
    with pytest.raises(ArtifactError, match=f"model.onnx: .*{words}") as caught:
        Segmenter(path)
    assert "\n" not in str(caught.value)


def test_an_artifact_of_another_size_or_number_of_classes_than_it_says(tmp_path):
    path = write_segmenter(tmp_path / "model.onnx", output="logits")
    model = onnx.load(path)
    facts = {item.key: item.value for item in model.metadata_props}
    for changes, words in [({"classes": ["a", "b"], "preprocessing": _without("palette")}, "gives 3 logits a pixel"),
                           ({"preprocessing": {**PREPROCESSING, "size": 64}}, "takes any x 3 x 32 x 32, but gets")]:
        changed = {f"msnoah.{key}": json.dumps(value) for key, value in changes.items()}
        onnx.helper.set_model_props(model, facts | changed)
        onnx.save(model, path)
        with pytest.raises(ArtifactError, match=words):
            Segmenter(path).label_map(np.zeros((9, 9, 3), np.uint8))


def test_the_two_kinds_of_artifact_are_not_taken_for_each_other(tmp_path, segmenter):
    with pytest.raises(ArtifactError, match="model.onnx: labels pixels"):
        Classifier(segmenter.path)
    with pytest.raises(ArtifactError, match="image.onnx: classifies whole images"):
        Segmenter(write_artifact(tmp_path / "image.onnx", IMAGE))
    with pytest.raises(RuntimeUnavailableError, match="0 threads"):
        Segmenter(segmenter.path, threads=0)
