"""Runs of a small net on made-up images with masks, in this process."""

import os
import signal

import cv2
import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from msnoah.config import RunConfig
from msnoah.errors import TrainingError
from msnoah.models.cgrseg import ChannelDropout
from msnoah.nn import step_inputs
from msnoah.registry import create_model, register_model
from msnoah.state_file import read_state
from msnoah.training.evaluator import evaluate_run
from msnoah.training.losses import pixel_cross_entropy
from msnoah.training.trainer import train

CLASSES = ["dark", "bright", "grey"]
LEVELS = np.array([40, 220, 120])
WINDOW = 32


class SmallSegmenter(nn.Cell):
    """(B, C, H, W) -> (B, K, H / 8, W / 8)"""

    def __init__(self, num_classes: int, in_channels: int, image_size: int):
        super().__init__()
        self.patches = nn.Conv2d(in_channels, 16, 8, 8, "valid", has_bias=True)
        self.norm, self.dropout = nn.BatchNorm2d(16), ChannelDropout(0.1, 16)
        self.head = nn.Conv2d(16, num_classes, 1, has_bias=True)

    def construct(self, x):
        return self.head(self.dropout(self.norm(self.patches(x))))


@register_model
def small_segmenter_for_training_tests(**kwargs) -> SmallSegmenter:
    """SmallSegmenter."""
    return SmallSegmenter(**kwargs)


def write_pairs(root, split: str, count: int, side: int) -> None:
    """A bright and a grey block on dark ground, with noise; the last row of each mask does not count."""
    random = np.random.default_rng(count)
    for folder in ("images", "masks"):
        (root / folder / split).mkdir(parents=True)
    for number in range(count):
        mask = np.zeros((8, 8), np.uint8)
        top, left = random.integers(0, 4, 2)
        mask[top:top + 3, left:left + 4], mask[top + 3:top + 5, left:left + 2] = 1, 2
        mask = mask.repeat(side // 8, 0).repeat(side // 8, 1)
        image = (LEVELS[mask] + random.normal(0, 8, mask.shape)).astype(np.uint8)
        mask[-1] = 255
        cv2.imwrite(str(root / "images" / split / f"{number}.png"), image)
        cv2.imwrite(str(root / "masks" / split / f"{number}.png"), mask)


@pytest.fixture
def make_config(tmp_path):
    """make_config(**train): 2 epochs of 3 steps, in pynative mode, which compiles nothing.

    Images of the val split are as large as the window, those of training twice as large.
    """
    write_pairs(tmp_path, "train", 12, 2 * WINDOW)
    write_pairs(tmp_path, "val", 3, WINDOW)

    def make(**train) -> RunConfig:
        test = {"mode": "slide", "short_side": 2 * WINDOW}
        segmentation = {"short_side": 2 * WINDOW, "jitter": (0.8, 1.25), "test": test}
        data = {"source": "mask_folder", "path": str(tmp_path), "classes": CLASSES, "image_size": WINDOW, "channels": 1,
                "mean": [0.3], "std": [0.3], "interpolation": "bilinear", "segmentation": segmentation}
        settings = {"epochs": 2, "batch_size": 4, "mode": "pynative", "schedule": {"name": "constant"},
                    "optimizer": {"lr": 0.02}}
        return RunConfig(model={"name": "small_segmenter_for_training_tests"}, data=data, train=settings | train)

    return make


def count_by_hand(model, root, mean: float, std: float) -> np.ndarray:
    """Confusion of the val images, whose logits OpenCV scales to their size."""
    confusion = np.zeros((len(CLASSES), len(CLASSES)), int)
    for path in sorted((root / "images" / "val").iterdir()):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        pixels = ((image / 255 - mean) / std).astype(np.float32)
        logits = model(ms.Tensor(pixels[None, None])).asnumpy()[0]   # (K, 4, 4)
        predictions = cv2.resize(logits.transpose(1, 2, 0), (WINDOW, WINDOW)).argmax(2)
        labels = cv2.imread(str(root / "masks" / "val" / path.name), cv2.IMREAD_GRAYSCALE)
        np.add.at(confusion, (labels[labels != 255], predictions[labels != 255]), 1)
    return confusion


def test_loss_is_the_mean_over_all_pixels_of_those_that_count():
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 3, (2, 3, 4, 4)).astype(np.float32), random.integers(0, 3, (2, 16, 16))
    labels[:, 5:9] = 255
    total = 0.0
    for scores, wanted in zip(logits, labels):
        resized = cv2.resize(scores.transpose(1, 2, 0), (16, 16)).astype(np.float64)
        losses = np.log(np.exp(resized).sum(2)) - np.take_along_axis(resized, wanted[..., None] % 3, 2)[..., 0]
        total += losses[wanted != 255].sum()
    loss = pixel_cross_entropy(ms.Tensor(logits), ms.Tensor(labels, ms.int32))
    assert float(loss) == pytest.approx(total / labels.size, rel=1e-5)   # sums of float32


def test_learns_and_evaluates_as_by_hand(make_config, make_run, tmp_path):
    config = make_config(epochs=8)
    run = make_run(config)
    record = train(config, run)
    losses = [epoch["train_loss"] for epoch in run.history()]
    assert np.isfinite(losses).all() and losses[-1] < 0.7 * losses[0]
    best = evaluate_run(run)
    model = create_model(config.model.name, checkpoint=run.best_checkpoint, **run.config().model_arguments())
    confusion = count_by_hand(model, tmp_path, 0.3, 0.3)
    assert best["confusion"] == confusion.tolist()
    assert confusion.sum() == 3 * WINDOW * (WINDOW - 1)   # the last rows do not count
    hits, counts = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
    assert best["miou"] == pytest.approx(np.nanmean(hits / (counts - hits)))
    assert record["best_miou"] == best["miou"] == max(epoch["val_miou"] for epoch in run.history())
    ground = confusion.sum(1).max() / confusion.sum()
    assert record["trivial_miou"] == pytest.approx(ground / len(CLASSES))
    assert best["miou"] > 2 * record["trivial_miou"]
    assert evaluate_run(run, views="test")["pixels"] == best["pixels"]


def test_an_interrupted_run_goes_on_bit_for_bit(make_config, make_run, monkeypatch):
    config = make_config()
    whole, parts = make_run(config, "whole"), make_run(config, "parts")
    train(config, whole)
    calls, draw = [], step_inputs.draw_drops

    def interrupting(model, random, shard):
        calls.append(random)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        draw(model, random, shard)

    monkeypatch.setattr(step_inputs, "draw_drops", interrupting)
    with pytest.raises(TrainingError, match="interrupted at epoch 1, step 2; go on with --resume"):
        train(config, parts)
    assert train(config, parts, resume=True)["resumed"] == "yes"
    for name in ("last_checkpoint", "best_checkpoint"):
        arrays, expected = (read_state(getattr(run, name))[0] for run in (parts, whole))
        assert arrays.keys() == expected.keys()
        assert all(np.array_equal(arrays[key], expected[key]) for key in arrays)
