"""Samples for calibration: spread over the split, skipped where that is wanted, and groups of layers."""

import numpy as np
import onnx
import pytest
from digits_artifact import DATA, write_digits_artifact

from msnoah.config import DataConfig
from msnoah.data.sources import open_source
from msnoah.deploy import calibration_samples
from msnoah.deploy.calibration_samples import Samples
from msnoah.deploy.quantization_groups import find_groups
from msnoah.errors import ConversionError, DataError
from msnoah.export.model_edits import prepare

DIGITS = DataConfig.model_validate(DATA)


class _Sorted:
    """Images that show their index; those in `broken` cannot be read."""

    classes, labels = ["a", "b"], np.zeros(100, np.int32)

    def __init__(self, broken=()):
        self._broken = broken

    def __len__(self):
        return 100

    def image(self, index):
        if index in self._broken:
            raise DataError(f"{index}.png: cut short")
        return np.full((8, 8, 1), index, np.uint8)

    def name(self, index):
        return f"{index}.png"


def indices(monkeypatch, count, limit=None, broken=(), **data):
    monkeypatch.setattr(calibration_samples, "open_source", lambda data, split: _Sorted(broken))
    samples = Samples(DIGITS.model_copy(update=data), "train", count)
    return [int(image[0, 0, 0]) for batch in samples.batches(limit) for image in batch]


@pytest.mark.parametrize("count, limit, expected", [
    (10, None, [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]), (10, 3, [0, 44, 99]), (500, None, list(range(100))),
])
def test_samples_are_spread_over_the_split(monkeypatch, count, limit, expected):
    assert indices(monkeypatch, count, limit) == expected


def test_samples_that_cannot_be_read(monkeypatch):
    assert indices(monkeypatch, 10, broken=(0, 99), corrupt="skip") == [11, 22, 33, 44, 55, 66, 77, 88]
    with pytest.raises(DataError, match="0.png: cut short"):
        indices(monkeypatch, 10, broken=(0,))
    with pytest.raises(DataError, match="none of 10 samples can be read"):
        indices(monkeypatch, 10, broken=range(100), corrupt="skip")


def test_samples_are_what_evaluation_sees():
    source, samples = open_source(DIGITS, "train"), Samples(DIGITS, "train", 20)
    found = np.concatenate(list(samples.batches()))
    assert found.shape == (20, 8, 8, 1) and found.dtype == np.uint8 and len(samples) == 20
    assert np.array_equal(found[-1], source.image(len(source) - 1))


def test_groups_are_modules_by_their_weights(tmp_path):
    model = prepare(onnx.load(write_digits_artifact(tmp_path / "model.onnx", DIGITS)))
    for node in model.graph.node:
        if node.name == "head.MatMul":
            node.name = "blocks.0.attn.MatMul"   # as modules that share a form have it
    found = [(group.name, group.macs) for group in find_groups(model)]
    assert found == [("stem", 8 * 16 * 9), ("mixer", 128 * 128), ("head", 1280)]


def test_nothing_to_quantise(tmp_path):
    model = prepare(onnx.load(write_digits_artifact(tmp_path / "model.onnx", DIGITS)))
    kept = [node for node in model.graph.node if node.op_type == "Relu"]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    with pytest.raises(ConversionError, match="no float32 convolutions or matrix products"):
        find_groups(model)
