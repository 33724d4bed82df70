"""Artifacts at a chosen number of merged tokens, families of them, and what is refused."""

import os
from dataclasses import replace

import numpy as np
import onnx
import pytest
from mindspore import Tensor
from test_exporter import DIGITS, make_run

from msnoah import atomic_folder
from msnoah.atomic_folder import replacing_folder
from msnoah.cli import main
from msnoah.config import ModelConfig
from msnoah.data.preprocessing import normalise
from msnoah.errors import ConfigError, RunFolderError, VerificationError
from msnoah.export import family as family_module
from msnoah.export.export_task import open_task
from msnoah.export.exporter import Comparison, export_run
from msnoah.export.family import describe_family, export_family, member_file
from msnoah.export.metadata import describe_export, read_metadata
from msnoah.export.onnx_file import WeightsFile
from msnoah.export.sample_inputs import sample_pixels
from msnoah.export.verification import run_onnx
from msnoah.file_hash import hash_file
from msnoah.registry import create_model
from msnoah.run_folder import read_json

SIZES = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}   # 17 tokens
DEIT = {"name": "deit_tiny_patch16_224", "args": SIZES}
TOCOM = {"name": "deit_tiny_patch16_224_tocom", "args": {**SIZES, "tokens_merged": 1, "source_degree": 0}}
WIDE = {**TOCOM, "args": {**TOCOM["args"], "embed_dim": 48}}
COARSE = {**DEIT, "args": {**SIZES, "patch_size": 16}}   # 2 tokens
SLAB = {"name": "slab_deit_t", "args": SIZES}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs that merge nothing, one of them of a model without tokens, and runs with plugins of two widths."""
    folder = tmp_path_factory.mktemp("runs")
    models = {"plain": DEIT, "plugin": TOCOM, "wide": WIDE, "coarse": COARSE, "slab": SLAB, "cgrseg": DEIT}
    made = {name: make_run(folder / name, model=model) for name, model in models.items()}
    config = made["cgrseg"].config()   # the model is never built
    made["cgrseg"].write_config(config.model_copy(update={"model": ModelConfig(name="cgrseg_t")}))
    return made


@pytest.fixture(scope="module")
def family(runs):
    """r0 and r3 of the plain run, with the other run's plugin."""
    overrides = {"family": [0, 3], "plugin": str(runs["plugin"].path), "source_degree": 1, "verify_batches": [2]}
    return runs["plain"], export_family(runs["plain"], **overrides)


def test_every_member_is_verified_and_says_what_it_merges(runs, family):
    run, record = family
    assert read_json(run.family_record_path) == record
    plugin = {"file": str(runs["plugin"].best_checkpoint), "sha256": hash_file(runs["plugin"].best_checkpoint)}
    for member, degree, tokens in zip(record["members"], (0, 3), ([17, 17], [14, 11]), strict=True):
        assert member["tokens_merged"] == degree and member["tokens"] == tokens
        assert (member["source_degree"], member["tocom_scale"], member["plugin"]) == (1, 0.1, plugin)
        assert member["verification"]["passed"] and member["verification"]["inputs"] == "val images"
        path = run.family_path / member["file"]
        assert (member["sha256"], member["size_bytes"]) == (hash_file(path), path.stat().st_size)
        facts = read_metadata(onnx.load(path, load_external_data=False))
        assert facts["merging"] == {key: member[key] for key in facts["merging"]} and facts["verified"] is True
        assert facts["classes"] == record["classes"] and facts["arguments"]["tokens_merged"] == degree
    assert "r3.onnx" in describe_family(record) and "NOT" not in describe_family(record)


def test_members_answer_as_their_own_models_do(runs, family):
    run, record = family
    pixels, _ = sample_pixels(run.config(), 2)
    images = normalise(pixels, run.config().data)
    answers = [run_onnx(run.family_path / member["file"])([images])[0] for member in record["members"]]
    assert np.abs(answers[0] - answers[1]).max() > 1e-3   # they do merge, or compensate, differently
    task = open_task(run, "best", {"plugin": str(runs["plugin"].path), "source_degree": 1})
    for answer, degree in zip(answers, (0, 3), strict=True):
        np.testing.assert_allclose(answer, task.build_model(degree)(Tensor(images)).asnumpy(), atol=1e-5)


def test_equal_weights_lie_there_once(family):
    run, record = family
    places = [_places(run.family_path / member["file"]) for member in record["members"]]
    shared, stored = places[0] & places[1], places[0] | places[1]
    assert len(shared) >= 2 * 3   # MLPs and projections of both blocks, at least
    assert len(stored - shared) >= 2 * 2 * 2   # of each member the plugin is merged into q and v of both blocks
    assert all(int(offset) % 4096 == 0 for offset, _ in stored)
    single = sum(member["weights_bytes"] for member in record["members"])
    assert _bytes(stored) == single - _bytes(shared) <= record["bytes"]["weights"] == record["weights"]["size_bytes"]
    assert record["weights"]["sha256"] == hash_file(run.family_path / "weights.bin")
    assert sorted(os.listdir(run.family_path)) == ["family.json", "r0.onnx", "r3.onnx", "weights.bin"]


def _bytes(places) -> int:
    return sum(int(length) for _, length in places)


def _places(path) -> set[tuple[str, str]]:
    """Offset and length of each weight that lies in the other file."""
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    entries = [{entry.key: entry.value for entry in tensor.external_data} for tensor in tensors]
    assert {entry["location"] for entry in entries if entry} == {"weights.bin"}
    return {(entry["offset"], entry["length"]) for entry in entries if entry}


@pytest.mark.slow
def test_a_family_that_differs_is_written_and_marked(runs, monkeypatch, tmp_path):
    """The graph of another network stands in for a wrong one, so that nothing is compiled."""
    run = make_run(tmp_path / "run", model=DEIT)
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 1, 16, 16])
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 10])
    weight = onnx.numpy_helper.from_array(np.ones((256, 10), np.float32), "w")
    nodes = [onnx.helper.make_node("Flatten", ["image"], ["flat"]),
             onnx.helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    graph = onnx.helper.make_graph(nodes, "wrong", [image], [logits], [weight])
    opsets = [onnx.helper.make_opsetid("", 17)]
    monkeypatch.setattr(family_module, "build_onnx", lambda fused, task: onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=8))
    with pytest.raises(VerificationError, match="r0.onnx: onnx differs .*; r2.onnx: onnx differs") as caught:
        export_family(run, family=[0, 2], verify_batches=[2])
    record = read_json(run.family_record_path)
    assert caught.value.exit_code == 1 and [m["verification"]["passed"] for m in record["members"]] == [False, False]
    assert read_metadata(onnx.load(run.family_path / "r2.onnx", load_external_data=False))["verified"] is False
    assert record["bytes"]["weights"] == 256 * 10 * 4 and "NOT verified" in describe_family(record)
    before = sorted((path.name, path.read_bytes()) for path in run.family_path.iterdir())
    monkeypatch.setattr(family_module, "write_json", _interrupt)
    with pytest.raises(Interrupted):
        export_family(run, family=[0], verify_batches=[1])
    assert sorted((path.name, path.read_bytes()) for path in run.family_path.iterdir()) == before
    assert not [name for name in os.listdir(run.path) if name.startswith(".")]


class Interrupted(BaseException):
    """As KeyboardInterrupt, which pytest keeps for itself."""


def _interrupt(*arguments):
    raise Interrupted


@pytest.mark.parametrize("call", [1, 2])
def test_a_folder_is_the_earlier_one_or_the_new_one(tmp_path, monkeypatch, call):
    path, calls, rename = tmp_path / "family", [], os.replace
    with replacing_folder(path) as folder:
        (folder / "a").write_text("old")
    monkeypatch.setattr(atomic_folder.os, "replace", lambda *names: _fail(calls, call) or rename(*names))
    with pytest.raises(RunFolderError, match="family: cannot be written: disk is gone; the earlier folder is kept"):
        with replacing_folder(path) as folder:
            (folder / "b").write_text("new")
    assert [(file.name, file.read_text()) for file in path.iterdir()] == [("a", "old")]
    assert os.listdir(tmp_path) == ["family"]


def _fail(calls, call):
    calls.append(call)
    if len(calls) == call:
        raise OSError("disk is gone")


def test_a_kill_between_the_renames_is_made_good(tmp_path):
    (tmp_path / ".family.old").mkdir()
    (tmp_path / ".family.old" / "a").write_text("old")
    (tmp_path / ".family.new").mkdir()
    with pytest.raises(Interrupted):
        with replacing_folder(tmp_path / "family"):
            raise Interrupted
    assert os.listdir(tmp_path) == ["family"] and (tmp_path / "family" / "a").read_text() == "old"


def test_a_model_written_again_adds_no_weights(tmp_path):
    weight = onnx.numpy_helper.from_array(np.arange(1000, dtype=np.float32), "w")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "none", [], [], [weight]))
    with open(tmp_path / "weights.bin", "wb") as data, open(tmp_path / "a.onnx", "wb") as file:
        weights = WeightsFile(data, "weights.bin")
        for _ in range(3):
            weights.write_model(model, file)
    assert (tmp_path / "weights.bin").stat().st_size == 4000


@pytest.mark.parametrize("degree,name", [(0, "r0.onnx"), (16, "r16.onnx"), ([8, 8, 4], "r8-8-4.onnx")])
def test_names_of_members(degree, name):
    assert member_file(degree) == name


# rows of the artifact that are off by how much, of 4; whether the message speaks of near-ties
FLIPS = {
    "one sample far off": ([0, 0.3, 0, 0], True),
    "half of them": ([0.1, 0.3, 0, 0], True),
    "most of them": ([0.1, 0.3, 0.2, 0], False),
    "one sample off by a little more than rounding": ([0, 3e-5, 0, 0], False),
    "all off by rounding, one far": ([2e-5, 0.3, 2e-5, 2e-5], False),
    "no number": ([0, float("nan"), 0, 0], False),
}


@pytest.mark.parametrize("offsets,speaks", FLIPS.values(), ids=FLIPS)
@pytest.mark.parametrize("merges", [True, False])
def test_near_ties_are_named_where_they_may_be_the_reason(runs, offsets, speaks, merges):
    task = open_task(runs["plain"], "best", {"verify_batches": [4]})
    logits, off = np.ones((4, 10), np.float32), np.array(offsets, np.float32)[:, None]
    artifacts, pixels = {"onnx": lambda inputs: [logits + off]}, np.zeros((4, 16, 16, 1), np.uint8)
    comparison = Comparison(task, lambda inputs: [logits], artifacts, pixels, merges)
    with pytest.raises(VerificationError) as caught:
        comparison.require_passed(comparison.checks())
    assert ("a near-tie in the matching of tokens" in str(caught.value)) == (speaks and merges)
    assert "\n" not in str(caught.value)


# run, options, what the line says
REFUSED = {
    "more tokens than there are": ("coarse", ["--tokens-merged", "1"], "uses up the 2 tokens; block 1 of 2"),
    "in a family": ("coarse", ["--family", "0,1"], "tokens_merged=1: uses up the 2 tokens"),
    "another number of blocks": ("plain", ["--tokens-merged", "2,2,2"], "has 3 numbers, but the model has 2 blocks"),
    "linear attention": ("slab", ["--tokens-merged", "2"], "linear attention has neither a class token nor merging"),
    "a model without tokens": (
        "cgrseg", ["--tokens-merged", "2"], "export.tokens_merged: cgrseg_t has no tokens that it could merge"),
    "its family": ("cgrseg", ["--family", "0,2"], "export.family: cgrseg_t has no tokens that it could merge"),
    "a source without a plugin": (
        "plain", ["--source-degree", "2"], "source_degree: deit_tiny_patch16_224 has no ToCom plugin"),
    "a scale without a plugin": (
        "plain", ["--tocom-scale", "0.2"], "tocom_scale: deit_tiny_patch16_224 has no ToCom plugin"),
    "a negative scale": ("plugin", ["--tocom-scale=-1"], "export.tocom_scale: Input should be greater than or equal"),
    "no such plugin": ("plain", ["--plugin", "nowhere.ckpt"], "nowhere.ckpt: no such plugin"),
    "more than the plugin knows": ("plugin", ["--source-degree", "17"], "ToCom's plugin knows 0 to 16"),
    "a degree twice": ("plain", ["--family", "0,2,0"], "export.family: names 0 twice"),
}


@pytest.mark.parametrize("name,options,words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_exported_costs_one_line(runs, capsys, name, options, words):
    run = runs[name]
    assert main(["export", str(run.path), *options]) == 2
    captured = capsys.readouterr().err
    assert words in captured and captured.count("\n") == 1 and not run.onnx_path.exists()


# --plugin, what the line says
PLUGINS = {
    "of another width": ("wide", "does not fit the model"),
    "that is none": ("plain", "holds no ToCom plugin"),
}


@pytest.mark.parametrize("name,words", PLUGINS.values(), ids=PLUGINS)
def test_plugins_that_do_not_fit(runs, capsys, name, words):
    for plugin in (runs[name].path, runs[name].best_checkpoint):
        assert main(["export", str(runs["plain"].path), "--plugin", str(plugin), "--tokens-merged", "2"]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert words in error and "best.ckpt" in error


@pytest.mark.parametrize("option", ["--tokens-merged", "--source-degree", "--family"])
@pytest.mark.parametrize("text", ["-1", "two", "1,", ""])
def test_what_is_no_degree(runs, capsys, option, text):
    with pytest.raises(SystemExit, match="2"):
        main(["export", str(runs["plain"].path), f"{option}={text}"])
    assert "expected whole numbers of tokens" in capsys.readouterr().err


def test_a_family_without_degrees(runs):
    with pytest.raises(ConfigError, match="export.family: names no degree"):
        export_family(runs["plain"])


def test_a_plugin_of_more_units_comes_with_its_run(runs, tmp_path):
    plugin = make_run(tmp_path / "units", model={**TOCOM, "args": {**TOCOM["args"], "tocom_units": 3}})
    task = open_task(runs["plain"], "best", {"plugin": str(plugin.path), "tokens_merged": 2})
    built = task.build_model(2)
    assert built.blocks[0].attn.q_tocom.unit_gate.shape == (48,) and task.arguments(2)["tocom_units"] == 3
    assert replace(task, plugin=replace(task.plugin, units=None)).arguments(2).get("tocom_units") is None


@pytest.mark.slow
@pytest.mark.parametrize("form", ["gather", "matrix"])
def test_a_run_at_another_degree(runs, form, tmp_path):
    run = make_run(tmp_path / "run", model=DEIT)
    plugin = str(runs["plugin"].best_checkpoint)
    record = export_run(run, tokens_merged=[3, 2], plugin=plugin, source_degree=1, tocom_scale=0.5, token_merging=form)
    assert record["verification"]["passed"] and "verified on val images" in describe_export(record)
    words = "tokens merged by each block: [3, 2]; 12 tokens left after the last; compensated from 1, scale 0.5"
    assert words in describe_export(record)
    merging = record["merging"]
    assert merging == read_metadata(onnx.load(run.onnx_path))["merging"]
    assert {**merging, "plugin": merging["plugin"]["file"]} == {
        "tokens_merged": [3, 2], "form": form, "tokens": [14, 12], "source_degree": 1, "tocom_scale": 0.5,
        "plugin": plugin}
    assert ("TopK" in record["artifacts"]["onnx"]["operators"]) == (form == "gather")
    built = create_model(record["model"], checkpoint=run.best_checkpoint, plugin=plugin, **record["arguments"])
    pixels, _ = sample_pixels(run.config(), 3)
    images = normalise(pixels, run.config().data)
    np.testing.assert_allclose(run_onnx(run.onnx_path)([images])[0], built(Tensor(images)).asnumpy(), atol=1e-5)


@pytest.mark.slow
def test_from_the_command_line_to_the_choice(tmp_path, capsys):
    run = make_run(tmp_path / "run", model=TOCOM, data=DIGITS)
    assert main(["export", str(run.path), "--tokens-merged", "2", "--family", "0,4"]) == 0
    printed = capsys.readouterr().out
    assert "model.mindir" in printed and "r4.onnx" in printed and run.export_record()["merging"]["tokens_merged"] == 2
    assert main(["tune", str(run.path), "--budget-ms", "1000", "--repeats", "3", "--time-limit", "0"]) == 0
    assert "r0.onnx: merges least of those that meet 1000 ms" in capsys.readouterr().out
    assert main(["tune", str(run.path), "--budget-ms", "1e-6", "--repeats", "3", "--time-limit", "0"]) == 1
    assert "no verified member of the family meets 1e-06 ms" in capsys.readouterr().err
    assert main(["report", str(run.path)]) == 0
