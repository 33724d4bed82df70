"""The video job as a user runs it, on a tiny model: clips on disk, some of them broken, to a verified artifact that is used alone."""

import json
import logging
import logging.handlers
import wave

import cv2
import numpy as np
import pytest

from msnoah.cli import main
from msnoah.run_folder import RunFolder

CONFIG = """\
# SqueezeTime of depth 10, 4 channels wide, on films of a square that comes or goes: trains in seconds.
model: {name: squeezetime_r10, args: {base_width: 4}}
data:
  source: video_list
  path: videos
  train_list: train.txt
  val_list: val.txt
  image_size: 32
  interpolation: bilinear
  corrupt: skip
  clip: {frames: 4, interval: 2, short_side: 32, val: {short_side: 32}, test: {clips: 2, crops: 3, short_side: 40, size: 32}}
  cache: {path: cache, short_side: 40}
  augment: {crop: multi_scale, scales: [1.0, 0.875], color_jitter: 0.2, hue_jitter: 0.05, random_erasing: 0.25, erasing_fill: color}
train:
  epochs: 2
  mode: pynative   # a few steps are done sooner than compiled
  batch_size: 4
  optimizer: {name: sgd, lr: 0.02, weight_decay: 1.0e-4, decay_1d: true, groups: [{contains: cls_head, lr: 2.0}]}
profile: {repeats: 5, warmup: 1, time_limit_s: 0}
"""
BROKEN = ("cut.avi", "empty.avi", "missing.avi", "sound.avi")
CLASSES = ("comes", "goes")
FRAMES = 12


def write_film(path, label, number):
    """A square that grows or shrinks, 40x56, MJPG: every frame can be read by itself."""
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (56, 40))
    for time in range(FRAMES):
        frame = np.full((40, 56, 3), 40 + 10 * number, np.uint8)
        half = 3 + (time if label == 0 else FRAMES - time)
        frame[20 - half:20 + half, 28 - half:28 + half] = (250, 160 - 10 * number, 90)
        film.write(frame)
    film.release()


def write_data(root):
    """Films, lists, and in the training list what goes wrong with films."""
    videos = root / "videos"
    videos.mkdir()
    lists = {"train": 8, "val": 4}
    for split, count in lists.items():
        names = [f"{split}_{number}.avi" for number in range(count)]
        for number, name in enumerate(names):
            write_film(videos / name, number % 2, number)
        lists[split] = [f"{name} {number % 2}\n" for number, name in enumerate(names)]
    whole = (videos / "train_0.avi").read_bytes()
    (videos / "cut.avi").write_bytes(whole[:len(whole) // 2])
    (videos / "empty.avi").write_bytes(b"")
    with wave.open(str(videos / "sound.avi"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    broken = [f"{name} 0\n" for name in BROKEN]
    (root / "train.txt").write_text("".join(lists["train"] + broken))
    (root / "val.txt").write_text("".join(lists["val"]))
    (root / "classes.txt").write_text("\n".join(CLASSES))
    (root / "tiny.yaml").write_text(CONFIG)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The folder of a job on which all commands have worked, and what training warned of."""
    root = tmp_path_factory.mktemp("video_job")
    write_data(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        said = logging.handlers.BufferingHandler(1000)
        logging.getLogger("msnoah").addHandler(said)
        assert main(["train", "tiny.yaml", "--run", "run"]) == 0
        for command in (["eval", "run"], ["export", "run"], ["eval", "run", "--artifact", "onnx"], ["profile", "run"], ["report", "run"]):
            assert main(command) == 0, command
        yield root, [record.getMessage() for record in said.buffer]


def test_each_broken_film_has_one_line_and_training_goes_on(job):
    lines = [line for line in job[1] if line.startswith("skipped: ")]
    assert sorted(name for name in BROKEN for line in lines if f"{name}:" in line) == sorted(BROKEN)
    assert len(lines) == len(BROKEN)


def test_history_tells_decoding_from_training(job):
    history = RunFolder.open(job[0] / "run").history()
    assert len(history) == 2 and all(np.isfinite(record["train_loss"]) for record in history)
    assert {"decode_clips_per_s", "transform_clips_per_s", "images_per_s", "data_wait"} <= set(history[-1])


def test_the_artifact_has_the_accuracy_of_the_model(job):
    model, artifact = (json.loads((job[0] / "run" / name).read_text()) for name in ("evaluation.json", "evaluation_onnx.json"))
    assert artifact["confusion"] == model["confusion"] and artifact["images"] == 4
    assert artifact["loss"] == pytest.approx(model["loss"], rel=1e-4)   # float32 logits, 1e-5 apart at most
    assert model["classes"] == list(CLASSES)


def test_both_artifacts_are_verified_and_hold_no_norm(job):
    record = RunFolder.open(job[0] / "run").export_record()
    assert record["verification"]["passed"] and record["verification"]["inputs"] == "val clips"
    assert "BatchNormalization" not in record["artifacts"]["onnx"]["operators"]
    assert "BatchNorm" not in record["artifacts"]["mindir"]["primitives"]
    assert record["inputs"] == [{"name": "clip", "shape": ["batch", 3, 4, 32, 32], "dtype": "float32"}]


def test_more_views_are_averaged(job, capsys):
    assert main(["eval", "run", "--artifact", "onnx", "--views", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["views"] == 6


def test_the_artifact_alone_classifies_a_film(job, capsys):
    assert main(["demo", "videos/val_0.avi", "run/model.onnx", "--output", "out.mp4", "--stride", "2"]) == 0
    assert any(name in capsys.readouterr().out for name in CLASSES)
    film = cv2.VideoCapture(str(job[0] / "out.mp4"))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == FRAMES


def test_a_broken_film_stops_training_that_says_fail(job, capsys):
    assert main(["train", "tiny.yaml", "--run", "stopped", "--set", "data.corrupt=fail"]) == 2
    said = capsys.readouterr().err
    assert sum(f"{name}:" in said for name in BROKEN) == 1 and "Traceback" not in said


def test_a_batch_of_one_clip_is_refused(job, capsys):
    assert main(["train", "tiny.yaml", "--run", "single", "--set", "train.batch_size=1"]) == 2
    assert "train.batch_size is 1, but SqueezeTime has norms of one number a sample" in capsys.readouterr().err


def test_a_detector_is_not_trained_as_a_classifier(job, capsys):
    assert main(["train", "tiny.yaml", "--run", "boxes", "--set", "model.name=squeezetime_r50_ava"]) == 2
    assert "model.name is squeezetime_r50_ava, but a config trains classifiers" in capsys.readouterr().err
