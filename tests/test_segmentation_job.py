"""The segmentation job as a user runs it, on a tiny model: images and masks to a label map that is used alone."""

import json

import cv2
import numpy as np
import pytest

from msnoah.cli import main
from msnoah.run_folder import RunFolder

CONFIG = """\
# CGRSeg of four blocks on discs: trains in seconds, learns a little.
model:
  name: cgrseg_t
  args:
    {embed_dims: [8, 8, 16, 16], depths: [1, 1, 1, 1], attention_depth: 1, mlp_ratios: [2, 2, 2, 2], channels: 16,
     kernel_size: 3, context_depth: 1}
data:
  source: mask_folder
  path: discs
  image_size: 64
  interpolation: bilinear
  classes: [ground, disc]
  segmentation: {short_side: 64, val: {mode: slide, short_side: 64}}
  augment: {horizontal_flip: 0.5, photometric_distortion: {}}
train:
  epochs: 2
  mode: pynative   # a few steps are done sooner than compiled
  batch_size: 4
  eval_batch_size: 2
  optimizer: {lr: 5e-3, groups: [{contains: head, lr: 2.0}, {contains: norm, decay: false}]}
export: {verify_batches: [1, 2]}
profile: {repeats: 5, warmup: 1, time_limit_s: 0}
"""


def write_pair(root, split, number):
    """A bright disc on noise; the second image is wider than the model's window."""
    width = 100 if number == 1 else 64
    place = (20 + 3 * number, 24 + 2 * number)
    mask = cv2.circle(np.zeros((64, width), np.uint8), place, 14, 1, -1)
    noise = np.random.default_rng(number).integers(0, 100, (64, width, 3), np.uint8)
    for folder, pixels in (("images", noise + 150 * mask[..., None]), ("masks", mask)):
        path = root / folder / split / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The folder of a job on which all commands have worked."""
    root = tmp_path_factory.mktemp("segmentation_job")
    for split, count in (("train", 4), ("val", 3)):
        for number in range(count):
            write_pair(root / "discs", split, number)
    (root / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for command in (["train", "tiny.yaml", "--run", "run"], ["eval", "run"], ["export", "run"],
                        ["eval", "run", "--artifact", "onnx"], ["profile", "run"], ["report", "run"]):
            assert main(command) == 0, command
        yield root


def test_history_has_the_scores_of_pixels(job):
    history = RunFolder.open(job / "run").history()
    assert len(history) == 2 and {"train_loss", "val_miou", "val_macc", "val_aacc"} <= set(history[-1])


def test_the_artifact_gives_labels_and_no_large_tensor(job):
    record = RunFolder.open(job / "run").export_record()
    assert record["outputs"] == [{"name": "labels", "shape": ["batch", 64, 64], "dtype": "uint8"}]
    assert {check["output"] for check in record["verification"]["checks"]} == {"logits", "labels"}
    assert record["verification"]["passed"] and "BatchNormalization" not in record["artifacts"]["onnx"]["operators"]


def test_the_artifact_has_the_scores_of_the_model(job):
    model, artifact = (json.loads((job / "run" / name).read_text()) for name in ("evaluation.json", "evaluation_onnx.json"))
    assert artifact["images"] == model["images"] == 3 and artifact["pixels"] == model["pixels"] == 64 * (64 + 64 + 100)
    # Where windows overlap, as two of them do here, logits are averaged but a label is that of the nearer window.
    assert artifact["miou"] == pytest.approx(model["miou"], abs=0.02)
    assert model["trivial"]["class"] == 0 and model["trivial"]["miou"] < 0.5


def test_the_artifact_alone_draws_an_image(job, capsys):
    assert main(["demo", "discs/images/val/1.png", "run/model.onnx", "--output", "drawn.png"]) == 0
    assert "ground" in capsys.readouterr().out
    assert cv2.imread(str(job / "drawn.png")).shape[0] >= 64


def test_a_label_that_is_no_class_is_named_with_its_place(job, capsys):
    path = job / "discs" / "masks" / "train" / "3.png"
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    mask[5, 7] = 9
    cv2.imwrite(str(path), mask)
    assert main(["train", "tiny.yaml", "--run", "stopped"]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in ("3.png", "9", "5", "7")) and "Traceback" not in said
