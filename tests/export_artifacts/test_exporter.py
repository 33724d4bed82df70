"""One run folder, exported: artifacts, record and metadata agree, and a failure neither hides nor destroys anything."""

import hashlib
import json
import os
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn

from msnoah.checkpoint import save_weights
from msnoah.config import RunConfig
from msnoah.errors import CheckpointError, ConfigError, DataError, RunFolderError, VerificationError
from msnoah.export import export_task, exporter, sample_inputs
from msnoah.export.exporter import export_run
from msnoah.export.metadata import describe_export, read_metadata
from msnoah.registry import create_model
from msnoah.run_folder import RunFolder

DIGITS = {"source": "digits", "image_size": 16, "channels": 1, "mean": [0.3], "std": [0.37], "crop_fraction": 1.0}
MODEL = {"name": "slab_deit_t", "args": {"patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2}}
FILES = ("model.mindir", "model.onnx", "export.json")


def make_run(path, *, weights=("best.ckpt",), model=MODEL, data=DIGITS, seed=0) -> RunFolder:
    classes = [str(digit) for digit in range(10)]
    config = RunConfig(model=model, data={**data, "classes": classes}, train={"epochs": 1}, seed=seed)
    run = RunFolder.create(path, config)
    cell = create_model(config.model.name, **config.model_arguments())
    randomise(cell)
    for name in weights:
        save_weights(cell, run.path / name, {})
    return run


def randomise(cell: nn.Cell) -> None:
    """Weights and statistics that no folding leaves unchanged."""
    rng = np.random.default_rng(11)
    for name, parameter in cell.parameters_and_names():
        shape = parameter.shape
        if name.endswith(("moving_variance", "gamma")):
            values = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            values = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        elif parameter.requires_grad or name.endswith("moving_mean"):
            values = rng.uniform(-0.3, 0.3, shape)
        else:
            continue
        parameter.set_data(Tensor(values.astype(np.float32)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("runs") / "digits")
    return run, export_run(run)


def test_record_speaks_of_the_files_that_lie_there(exported):
    run, record = exported
    assert run.export_record() == json.loads(json.dumps(record))
    for artifact in record["artifacts"].values():
        contents = (run.path / artifact["file"]).read_bytes()
        assert artifact["sha256"] == hashlib.sha256(contents).hexdigest()
        assert artifact["size_bytes"] == len(contents)
    assert record["model"] == "slab_deit_t" and record["checkpoint"] == "best.ckpt"
    assert record["arguments"]["num_classes"] == 10 and record["classes"] == [str(digit) for digit in range(10)]
    assert record["inputs"] == [{"name": "image", "shape": ["batch", 1, 16, 16], "dtype": "float32"}]
    assert record["outputs"] == [{"name": "logits", "shape": ["batch", 10], "dtype": "float32"}]
    assert record["parameters"]["fused"] < record["parameters"]["trained"]
    assert not {"BatchNormalization", "LayerNormalization"} & set(record["artifacts"]["onnx"]["operators"])
    assert not {"BatchNorm", "LayerNorm"} & set(record["artifacts"]["mindir"]["primitives"])


def test_every_batch_of_both_artifacts_was_checked_on_real_images(exported):
    _, record = exported
    verification = record["verification"]
    assert verification["passed"] and verification["inputs"] == "val images"
    checked = {(check["artifact"], check["batch"], check["output"]) for check in verification["checks"]}
    assert checked == {(kind, batch, "logits") for kind in ("onnx", "mindir") for batch in (1, 2, 5)}
    assert 0 < max(check["max_rel"] for check in verification["checks"]) <= 1e-5
    assert "verified on val images" in describe_export(record)


def test_onnx_metadata_round_trip(exported):
    run, record = exported
    model = onnx.load(run.onnx_path)
    facts = read_metadata(model)
    assert facts.pop("verified") is True
    assert facts == {key: record[key] for key in facts} and {"model", "classes", "preprocessing", "commit", "versions"} <= set(facts)
    assert model.producer_name == "msnoah" and "slab_deit_t" in model.doc_string
    properties = onnxruntime.InferenceSession(run.onnx_path).get_modelmeta().custom_metadata_map
    assert json.loads(properties["msnoah.preprocessing"])["mean"] == [0.3] and properties["msnoah.verified"] == "true"


def test_embedded_preprocessing_takes_pixels(tmp_path):
    run = make_run(tmp_path / "run")
    record = export_run(run, embed_preprocessing=True)
    assert record["inputs"] == [{"name": "image", "shape": ["batch", 16, 16, 1], "dtype": "uint8"}]
    assert record["artifacts"]["mindir"]["inputs"] == [{"name": "image", "shape": ["batch", 1, 16, 16], "dtype": "float32"}]
    expected = {"layout": "NHWC", "dtype": "uint8", "embedded": True, "color": "grey", "scale": "1/255"}
    assert expected.items() <= record["preprocessing"].items()
    assert record["verification"]["passed"]


def tampered(model):
    """The same graph with one weight changed."""
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] += 1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    return model


def test_a_wrong_artifact_is_written_but_marked(exported, tmp_path, monkeypatch):
    run = RunFolder(shutil.copytree(exported[0].path, tmp_path / "run"))
    convert = exporter.export_onnx
    monkeypatch.setattr(exporter, "export_onnx", lambda *inputs, **options: tampered(convert(*inputs, **options)))
    with pytest.raises(VerificationError, match=r"onnx differs from the trained model by .*1e-05\) in output 'logits' at batch [125]; .*not verified") as caught:
        export_run(run)
    assert caught.value.exit_code == 1
    record = run.export_record()
    assert record["verification"]["passed"] is False
    assert {check["artifact"] for check in record["verification"]["checks"] if not check["passed"]} == {"onnx"}
    assert read_metadata(onnx.load(run.onnx_path))["verified"] is False
    assert "NOT verified" in describe_export(record)


class Interrupted(BaseException):
    """As KeyboardInterrupt, which pytest keeps for itself."""


@pytest.mark.parametrize("function,call", [("run_mindir", 1), ("_describe", 1), ("replacing", 1), ("replacing", 2), ("write_json", 1)])
def test_what_an_interrupted_export_leaves_is_whole(exported, tmp_path, monkeypatch, function, call):
    run = RunFolder(shutil.copytree(exported[0].path, tmp_path / "run"))
    before = {name: (run.path / name).read_bytes() for name in FILES}
    calls, original = [], getattr(exporter, function)

    def interrupt(*arguments, **keywords):
        calls.append(arguments)
        if len(calls) == call:
            raise Interrupted
        return original(*arguments, **keywords)

    monkeypatch.setattr(exporter, function, interrupt)
    with pytest.raises(Interrupted):
        export_run(run, embed_preprocessing=True, verify_batches=[1])
    assert len(calls) == call
    assert sorted(os.listdir(run.path)) == sorted([*FILES, ".lock", "best.ckpt", "config.yaml", "profiles"])
    changed = {name for name in FILES if (run.path / name).read_bytes() != before[name]}
    assert changed <= {"model.onnx", "model.mindir"} and bool(changed) == ((function, call) in [("replacing", 2), ("write_json", 1)])
    onnx.checker.check_model(onnx.load(run.onnx_path))


def test_without_images_seeded_noise_is_used_and_recorded(tmp_path, monkeypatch, capsys):
    def no_data(data, split):
        raise DataError("no such folder")

    monkeypatch.setattr(sample_inputs, "open_source", no_data)
    record = export_run(make_run(tmp_path / "run"), verify_batches=[2])
    assert record["verification"]["inputs"] == "seeded noise" and record["verification"]["passed"]
    captured = capsys.readouterr()
    assert "no such folder" in captured.err and not captured.out


def test_last_checkpoint_serves_where_there_is_no_best(tmp_path, capsys):
    record = export_run(make_run(tmp_path / "run", weights=["last.ckpt"]), verify_batches=[1])
    assert record["checkpoint"] == "last.ckpt" and "last.ckpt is exported" in capsys.readouterr().err


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_untrained_run(tmp_path, checkpoint):
    with pytest.raises(RunFolderError, match="nothing trained yet"):
        export_run(make_run(tmp_path / "run", weights=[]), checkpoint=checkpoint)


def test_checkpoint_of_another_model(tmp_path):
    run = make_run(tmp_path / "run")
    other = make_run(tmp_path / "other", model={**MODEL, "args": {**MODEL["args"], "embed_dim": 24}})
    with pytest.raises(CheckpointError, match="best.ckpt"):
        export_run(run, checkpoint=other.best_checkpoint)
    assert not run.onnx_path.exists()


@pytest.mark.parametrize("override,match", [({"opset": 11}, "export.opset"), ({"verify_batches": [0]}, "export.verify_batches.0"), ({"opsett": 17}, "opsett")])
def test_wrong_settings(tmp_path, override, match):
    with pytest.raises(ConfigError, match=match):
        export_run(make_run(tmp_path / "run"), **override)


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    # Asked of the system, since tests may run as root, whom no mode stops.
    monkeypatch.setattr(export_task.os, "access", lambda path, mode: False)
    with pytest.raises(RunFolderError, match="cannot be written"):
        export_run(run)
