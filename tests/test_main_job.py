"""The main job as a user runs it, on a tiny model: one YAML, then eval, export, profile, compare and report."""

import json

import pytest

from msnoah.cli import main
from msnoah.run_folder import RunFolder

CONFIG = """\
# A SLAB-DeiT of 2 blocks on 8x8 digits: trains in seconds, learns a little.
model:
  name: slab_deit_t
  args: {patch_size: 2, embed_dim: 16, depth: 2, num_heads: 2, drop_path_rate: 0.1}
data:
  source: digits
  image_size: 8
  channels: 1
  mean: [0.3]
  std: [0.38]
  crop_fraction: 1.0
train:
  epochs: 3
  batch_size: 64
  optimizer: {lr: 5e-3}
  schedule: {name: cosine, warmup_epochs: 1}
  progressive_norm: {steps: 40}
  bn_reestimation_epochs: 1
profile: {repeats: 20, warmup: 2, time_limit_s: 0}
"""
NORMS = ("BatchNormalization", "LayerNormalization", "InstanceNormalization")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder on which all commands have worked, with what each printed."""
    folder = tmp_path_factory.mktemp("main_job")
    (folder / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    path = str(folder / "run")
    assert main(["train", str(folder / "tiny.yaml"), "--run", path]) == 0
    for command, *options in (("eval",), ("export",), ("eval", "--artifact", "onnx"), ("profile",), ("report",)):
        assert main([command, path, *options]) == 0, command
    return RunFolder.open(path)


def test_training_leaves_its_files(run):
    history = run.history()
    assert [record["phase"] for record in history] == ["train"] * 3 + ["bn_reestimation"]
    assert history[-1]["val_loss"] < history[0]["val_loss"]
    assert run.best_checkpoint.is_file() and run.last_checkpoint.is_file()
    assert run.config().data.classes == [str(digit) for digit in range(10)]


def test_evaluation_is_above_the_majority_class(run):
    record = json.loads(run.evaluation_path.read_text())
    assert record["images"] == 355
    assert record["top1"] > 2 * record["majority_class_rate"]


def test_the_artifact_predicts_what_mindspore_predicts(run):
    checkpoint, artifact = (json.loads(path.read_text()) for path in (run.evaluation_path, run.onnx_evaluation_path))
    assert artifact["predictions"] == checkpoint["predictions"] and len(artifact["predictions"]) == 355
    figures = ("top1", "top5", "images", "per_class", "confusion", "most_confused", "majority_class_rate", "classes", "views")
    assert {key: artifact[key] for key in figures} == {key: checkpoint[key] for key in figures}
    assert artifact["loss"] == pytest.approx(checkpoint["loss"], rel=1e-5)   # float32 logits of two runtimes
    assert "355 of 355" in run.report_path.read_text()


def test_both_artifacts_are_verified_and_hold_no_norm(run):
    record = run.export_record()
    assert record["verification"]["passed"]
    assert {(check["artifact"], check["batch"]) for check in record["verification"]["checks"]} >= {
        (artifact, batch) for artifact in ("onnx", "mindir") for batch in (1, 2, 5)
    }
    assert max(check["max_rel"] for check in record["verification"]["checks"]) <= 1e-5
    assert not set(record["artifacts"]["onnx"]["operators"]) & set(NORMS)
    assert not {"BatchNorm", "LayerNorm"} & set(record["artifacts"]["mindir"]["primitives"])
    assert record["inputs"] == [{"name": "image", "shape": ["batch", 1, 8, 8], "dtype": "float32"}]
    assert record["outputs"] == [{"name": "logits", "shape": ["batch", 10], "dtype": "float32"}]


def test_both_runtimes_are_measured(run):
    assert [path.name for path in run.profile_paths()] == ["mindspore-t1-b1.json", "onnxruntime-t1-b1.json"]


def test_the_gate_passes_a_run_against_itself_and_refuses_a_slower_one(run, tmp_path, capsys):
    assert main(["compare", str(run.path), str(run.path), "--max-regression", "5%"]) == 0
    slower = json.loads(run.profile_paths()[1].read_text())
    slower["wall_ms"] = [1.5 * value for value in slower["wall_ms"]]
    path = tmp_path / "slower.json"
    path.write_text(json.dumps(slower))
    capsys.readouterr()
    assert main(["compare", str(run.profile_paths()[1]), str(path), "--max-regression", "5%"]) == 1
    assert "+50" in capsys.readouterr().err


def test_the_report_is_one_page_without_network(run):
    page = run.report_path.read_text()
    assert "slab_deit_t" in page and "<svg" in page
    assert "src=\"http" not in page and "href=\"http" not in page


def test_a_finished_run_is_neither_overwritten_nor_trained_again(run, capsys):
    before = run.best_checkpoint.read_bytes()
    assert main(["train", str(run.config_path), "--run", str(run.path)]) == 2
    assert "holds a run already; add --resume" in capsys.readouterr().err
    assert main(["train", str(run.path), "--resume"]) == 0
    assert "finished already" in capsys.readouterr().out
    assert run.best_checkpoint.read_bytes() == before
