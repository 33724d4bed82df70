"""Classes and preprocessing come from the artifact's metadata; whatever they lack costs one line."""

import json

import numpy as np
import onnx
import pytest
from clip_artifact import CLASSES, CLIP, IMAGE, write_artifact

from msnoah.data.preprocessing import normalise, preprocess
from msnoah.deploy.classifier import Classifier
from msnoah.errors import ArtifactError, RuntimeUnavailableError


def test_clips_as_five_or_four_axes_are_the_same(tmp_path):
    five = Classifier(write_artifact(tmp_path / "5.onnx"))
    four = Classifier(write_artifact(tmp_path / "4.onnx", {**CLIP, "layout": "NCHW"}, shape=[12, 16, 16]))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    assert five.classes == CLASSES and five.data.clip.span == 10
    assert np.array_equal(five.logits(pixels), four.logits(pixels)) and five.logits(pixels).shape == (2, 3)
    assert five.probabilities(pixels).sum(1) == pytest.approx([1, 1])


@pytest.mark.parametrize("preprocessing, shape", [(IMAGE, (2, 16, 16, 3)), (CLIP, (2, 4, 16, 16, 3))])
def test_artifacts_that_take_pixels_get_what_the_loader_had_normalised(tmp_path, preprocessing, shape):
    classifier = Classifier(write_artifact(tmp_path / "pixels.onnx", {**preprocessing, "dtype": "uint8"}, pixels=True))
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    normalised = normalise(pixels, classifier.data)
    assert np.array_equal(classifier.logits_of_normalised(normalised), classifier.logits(pixels))


def test_an_image_is_preprocessed_as_in_evaluation(tmp_path):
    classifier = Classifier(write_artifact(tmp_path / "image.onnx", IMAGE))
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    expected = classifier.logits_of_normalised(preprocess(image, classifier.data)[None])
    assert np.array_equal(classifier.logits(classifier.view(image)[None]), expected)


def _lacking(preprocessing, key):
    return {"preprocessing": {name: value for name, value in preprocessing.items() if name != key}}


@pytest.mark.parametrize("changes, words", [
    ({"classes": []}, "its metadata say nothing of classes"),
    ({"preprocessing": {}}, "its metadata say nothing of preprocessing"),
    (_lacking(CLIP, "interval"), "its preprocessing lacks 'interval'"),
    (_lacking(IMAGE, "image_size"), "its preprocessing lacks 'image_size'"),
    (_lacking(IMAGE, "mean"), "its preprocessing lacks 'mean'"),
    ({"preprocessing": {**CLIP, "interval": 0}}, "preprocessing of another form, interval: Input should be greater"),
    ({"preprocessing": {**CLIP, "mean": [0.5]}}, "preprocessing of another form, preprocessing: Value error, std has"),
])
def test_metadata_that_lack_something(tmp_path, changes, words):
    path = write_artifact(tmp_path / "clip.onnx")
    model = onnx.load(path)
    facts = {item.key: item.value for item in model.metadata_props}
    onnx.helper.set_model_props(model, facts | {f"msnoah.{key}": json.dumps(value) for key, value in changes.items()})
    onnx.save(model, path)
    with pytest.raises(ArtifactError, match=f"clip.onnx: {words}") as caught:
        Classifier(path)
    assert "\n" not in str(caught.value)




@pytest.mark.parametrize("content, words", [
    (None, "cannot be read: No such file"), (b"", "say nothing of classes and preprocessing"),
    (b"no protobuf at all", "not an ONNX model"),
])
def test_files_that_are_no_artifacts(tmp_path, content, words):
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=words):
        Classifier(path)


def test_a_graph_that_onnxruntime_refuses(tmp_path):
    path = write_artifact(tmp_path / "clip.onnx")
    model = onnx.load(path)
    model.graph.node[1].op_type = "NoSuchOperator"
    onnx.save(model, path)
    with pytest.raises(ArtifactError, match="ONNX Runtime cannot load it: .*NoSuchOperator"):
        Classifier(path)


def test_clips_of_another_size_are_refused(tmp_path):
    classifier = Classifier(write_artifact(tmp_path / "clip.onnx"))
    words = "takes any x 3 x 4 x 16 x 16, but gets 2 x 3 x 4 x 20 x 20; export the model at that size"
    with pytest.raises(ArtifactError, match=words):
        classifier.logits(np.zeros((2, 4, 20, 20, 3), np.uint8))


def test_threads_are_counted_from_one(tmp_path):
    with pytest.raises(RuntimeUnavailableError, match="0 threads"):
        Classifier(write_artifact(tmp_path / "clip.onnx"), threads=0)
