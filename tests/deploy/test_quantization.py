"""int8 and float16 forms of a run's artifact: which layers stay float, what is written, and what is refused."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from clip_artifact import CLIP, write_artifact, write_film
from digits_artifact import DATA, write_digits_artifact
from PIL import Image
from segmentation_artifact import CLASSES, MEAN, PREPROCESSING, STD, blocks, paint, write_segmenter

from msnoah.cli import main
from msnoah.config import RunConfig
from msnoah.data.video_file import VideoFile
from msnoah.deploy import quantization_search
from msnoah.deploy.artifact_file import exported_artifact
from msnoah.deploy.evaluation import evaluate_file
from msnoah.deploy.float_artifact import FloatArtifact
from msnoah.deploy.npu.facts import read_facts
from msnoah.deploy.quantization import quantize_run
from msnoah.errors import BudgetError, ConversionError, ProfileError, VerificationError
from msnoah.quantization_config import QuantizationConfig
from msnoah.run_folder import RunFolder, read_json, write_json

ROOT = Path(__file__).parents[2]
FAST = {"calibration_images": 64, "scan_images": 16}
MODEL = {"model": {"name": "slab_deit_tiny"}, "train": {"epochs": 1}}


@pytest.fixture(scope="module")
def digits_file(tmp_path_factory):
    """The artifact, made once."""
    data = RunConfig.model_validate({**MODEL, "data": DATA}).data
    return write_digits_artifact(tmp_path_factory.mktemp("digits") / "model.onnx", data)


@pytest.fixture
def digits_run(tmp_path, make_export_record, digits_file):
    return _exported(tmp_path, make_export_record, digits_file, DATA)


def _exported(folder, make_export_record, file, data):
    run = RunFolder.create(folder / "run", RunConfig.model_validate({**MODEL, "data": data}))
    run.onnx_path.write_bytes(file.read_bytes())
    write_json(run.export_path, make_export_record(run.onnx_path))
    return run


def _files(run):
    return sorted(path.name for path in run.path.iterdir() if path.is_file())


def test_the_layer_that_int8_ruins_stays_float(digits_run):
    record = quantize_run(digits_run, ["int8"], QuantizationConfig(**FAST))
    part = record["int8"]
    assert [row["group"] for row in part["sensitivity"]][0] == "head" and part["float_groups"] == ["head"]
    assert [step["good"] for step in part["steps"]] == [False, True] and part["steps"][0]["drop"] > 0.02
    assert part["accuracy"] == part["steps"][1]["accuracy"] and 0 < part["int8_macs"] < 1
    assert part["verification"]["agreement"] > 0.97 and record == read_json(digits_run.quantization_path)
    graph = onnx.load(digits_run.path / "model_int8.onnx").graph
    readers = {node.name: node.input[0] for node in graph.node}
    assert readers["head.MatMul"] == "scaled" and readers["mixer.MatMul"] == "flat.dequantized"


def test_what_was_written_is_what_was_measured(digits_run):
    record = quantize_run(digits_run, ["fp16", "int8"], QuantizationConfig(**FAST))
    entries = digits_run.export_record()["artifacts"]
    assert list(entries) == ["onnx", "onnx_fp16", "onnx_int8"]
    for precision, dtype in {"fp16": "float16", "int8": "int8"}.items():
        artifact = exported_artifact(digits_run, "onnx", precision)
        verification = record[precision]["verification"]
        assert (artifact.precision, artifact.verified, artifact.max_rel) == (dtype, True, verification["max_rel"])
        assert entries[f"onnx_{precision}"]["made_from"] == entries["onnx"]["sha256"]
        assert artifact.size_bytes < entries["onnx"]["size_bytes"]
        measured = evaluate_file(digits_run, artifact)
        assert measured["top1"] == pytest.approx(record[precision]["accuracy"]["top1"], abs=0.003)   # one image of 355
    assert record["fp16"]["verification"]["max_rel"] < 2e-3 < record["int8"]["verification"]["max_rel"]
    assert exported_artifact(digits_run, "onnx").precision == "float32"


def test_the_command_without_mindspore(digits_run):
    arguments = ["quantize", str(digits_run.path), "--accuracy-budget", "100%", "--calibration-images", "16"]
    code = f"import sys; sys.modules['mindspore'] = None; from msnoah.cli import main; sys.exit(main({arguments}))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "layers left in float32: none" in answer.stdout and "100.0%" in answer.stdout


def test_an_interrupted_search_goes_on(digits_run, monkeypatch):
    """Ctrl-C at each of its steps in turn; each layer and each step is tried once in all, and the end is the same."""
    whole = quantize_run(digits_run, ["int8"], QuantizationConfig(**FAST))["int8"]
    digits_run.quantization_path.unlink()
    tried = []

    def interrupt(real):
        def compare(*arguments):
            tried.append(1)
            result = real(*arguments)
            if len(tried) == 2:
                raise KeyboardInterrupt
            return result
        return compare

    monkeypatch.setattr(quantization_search, "_compare", interrupt(quantization_search._compare))
    with pytest.raises(KeyboardInterrupt):
        quantize_run(digits_run, ["int8"], QuantizationConfig(**FAST))
    assert len(read_json(digits_run.quantization_path)["int8"]["sensitivity"]) == 1
    again = quantize_run(digits_run, ["int8"], QuantizationConfig(**FAST))["int8"]
    assert len(tried) == 2 + 2   # the second one again, and the third
    assert again == whole


def test_other_settings_begin_anew(digits_run):
    quantize_run(digits_run, ["int8"], QuantizationConfig(**FAST))
    record = read_json(digits_run.quantization_path)
    rows = [{**row, "damage": 5.0} for row in record["int8"]["sensitivity"]]
    record["int8"] |= {"finished": False, "sensitivity": rows}
    write_json(digits_run.quantization_path, record)
    found = quantize_run(digits_run, ["int8"], QuantizationConfig(**{**FAST, "method": "percentile"}))["int8"]
    assert all(row["damage"] != 5.0 for row in found["sensitivity"])


def test_a_budget_that_nothing_meets(digits_run, monkeypatch):
    monkeypatch.setattr(FloatArtifact, "drop", lambda self, accuracy: 0.01)
    words = "no int8 form loses 0.50 points .* of 3 layers in float.*no artifact was written"
    with pytest.raises(BudgetError, match=words) as caught:
        quantize_run(digits_run, ["int8"], QuantizationConfig(**FAST))
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    assert "model_int8.onnx" not in _files(digits_run) and list(digits_run.export_record()["artifacts"]) == ["onnx"]
    part = read_json(digits_run.quantization_path)["int8"]
    assert part["chosen"] is None and [step["kept"] for step in part["steps"]] == [0, 1, 2]


@pytest.mark.parametrize("finite, words", [(True, "loses 1.00 points"), (False, "gives NaN or infinity")])
def test_float16_that_is_not_good_enough(digits_run, monkeypatch, finite, words):
    compared = {"max_rel": None, "agreement": 0.0, "finite": finite, "samples": 1}
    monkeypatch.setattr(FloatArtifact, "drop", lambda self, accuracy: 0.01)
    monkeypatch.setattr(FloatArtifact, "compare", lambda self, model: dict(compared))
    with pytest.raises(VerificationError, match=f"{words}.*no artifact was written"):
        quantize_run(digits_run, ["fp16"], QuantizationConfig(**FAST))
    assert "model_fp16.onnx" not in _files(digits_run)


def test_an_int8_graph_has_facts_as_any_other(digits_run):
    """By which operators are placed in the network and held against what an NPU takes; int8 weights are not folded."""
    quantize_run(digits_run, ["int8"], QuantizationConfig(**FAST, accuracy_budget=1.0))
    facts = read_facts(digits_run.path / "model_int8.onnx")
    products = {one.module: one.macs for one in facts.operators if one.macs}
    assert products == {"stem": 8 * 16 * 9, "mixer": 128 * 128, "head": 1280}
    stored = next(one for one in facts.operators if one.name == "head.MatMul.weight.DequantizeLinear")
    assert stored.inputs[0].dtype == "int8" and stored.outputs[0].shape == (128, 10)


def test_what_comes_of_an_unverified_artifact_is_not_verified(digits_run):
    record = digits_run.export_record()
    record["verification"]["checks"][0]["passed"] = False
    write_json(digits_run.export_path, record)
    quantize_run(digits_run, ["fp16"], QuantizationConfig(**FAST))
    assert exported_artifact(digits_run, "onnx", "fp16").verified is False


def test_a_runtime_that_crashes_costs_one_line(digits_run, monkeypatch):
    monkeypatch.setattr("msnoah.deploy.float_artifact.LOADING", "import os; os.abort()")
    with pytest.raises(ConversionError, match="ONNX Runtime cannot load .* died of signal 6") as caught:
        quantize_run(digits_run, ["int8"], QuantizationConfig(**FAST))
    assert "\n" not in str(caught.value)


# --- other artifacts: pixels as they are, clips, label maps


class _Films:
    """A VideoSource of eight short films."""

    classes, labels = ["a", "b", "c"], np.arange(8, dtype=np.int32) % 3

    def __init__(self, folder):
        self._paths = [write_film(folder / f"{number}.mp4", 12 + number) for number in range(8)]

    def __len__(self):
        return 8

    def video(self, index):
        return VideoFile(self._paths[index])

    def name(self, index):
        return str(self._paths[index])


def _clips(folder, make_export_record, monkeypatch, **options):
    clip = {"frames": 4, "interval": 3, "short_side": 18, "val": {"short_side": 18, "crops": 3}}
    data = {"source": "camera_motion", "image_size": 16, "clip": clip, "interpolation": "bilinear",
            **{key: CLIP[key] for key in ("mean", "std")}}
    films = _Films(folder)
    for module in ("evaluation", "calibration_samples"):
        monkeypatch.setattr(f"msnoah.deploy.{module}.open_source", lambda data, split: films)
    file = write_artifact(folder / "x.onnx", CLIP, films.classes, **options)
    return _exported(folder, make_export_record, file, data)


def _masks(folder, make_export_record, monkeypatch, **options):
    for split in ("train", "val"):
        for number in range(8):
            mask = blocks(40 + number, 32 + 5 * number, seed=number)
            for kind, pixels in (("images", paint(mask)), ("masks", mask)):
                (folder / "data" / kind / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / "data" / kind / split / f"{number}.png")
    data = {"source": "mask_folder", "path": str(folder / "data"), "image_size": 32, "mean": MEAN, "std": STD,
            "interpolation": "bilinear", "classes": CLASSES, "segmentation": {"val": {"mode": "whole"}}}
    file = write_segmenter(folder / "x.onnx", PREPROCESSING, CLASSES, **options)
    return _exported(folder, make_export_record, file, data)


@pytest.mark.parametrize("make, options, measure", [
    (_clips, {}, "top1"), (_clips, {"pixels": True}, "top1"),
    (_masks, {"output": "labels"}, "miou"), (_masks, {"output": "logits", "pixels": True}, "miou"),
])
def test_other_inputs_and_outputs(tmp_path, make_export_record, monkeypatch, make, options, measure):
    run = make(tmp_path, make_export_record, monkeypatch, **options)
    settings = QuantizationConfig(**FAST, accuracy_budget=1.0)
    record = quantize_run(run, ["fp16", "int8"], settings)
    assert list(record["fp32"]["accuracy"]) == [measure, "images"] and record["fp32"]["accuracy"]["images"] == 8
    assert record["fp16"]["verification"]["agreement"] >= 0.99 and record["int8"]["verification"]["agreement"] > 0.9
    for precision in ("fp16", "int8"):
        paths = (run.onnx_path, run.path / f"model_{precision}.onnx")
        given, made = (onnx.load(path).graph.input[0].type for path in paths)
        assert given == made
    assert not run.predictions_path.exists()   # pictures are those of eval


# --- refused


def _remove_export(run):
    run.export_path.unlink()


def _change_model(run):
    run.onnx_path.write_bytes(run.onnx_path.read_bytes() + b"\x00")


def _lose_data(run):
    config = run.config()
    lost = config.data.model_copy(update={"source": "image_folder", "path": "/nowhere/photos"})
    run.write_config(config.model_copy(update={"data": lost}))


def _take_place(run):
    run.quantization_path.mkdir()


@pytest.mark.parametrize("harm, options, words", [
    (_remove_export, [], "nothing exported yet"),
    (_change_model, [], "model.onnx: stale"),
    (_lose_data, [], "/nowhere/photos"),
    (_take_place, [], "quantization.json: cannot be written"),
    (None, ["--method", "median"], "method: Input should be 'minmax', 'entropy' or 'percentile', found 'median'"),
    (None, ["--precision", "int4"], "precision 'int4' cannot be made; use fp16, int8"),
    (None, ["--accuracy-budget", "0.5"], "'0.5' is not a percentage; expected one such as 5%"),
    (None, ["--accuracy-budget", "101%"], "accuracy_budget: Input should be less than or equal to 1"),
    (None, ["--calibration-images", "2"], "calibration_images: Input should be greater than or equal to 8"),
    (None, ["--weight-bits", "4"], "weight_bits: Input should be 7 or 8"),
    (None, ["--threads", "0"], "0 threads of ONNX Runtime: expected 1 or more"),
])
def test_one_line_and_nothing_written(digits_run, capsys, harm, options, words):
    if harm:
        harm(digits_run)
    before = {name: (digits_run.path / name).read_bytes() for name in _files(digits_run)}
    assert main(["quantize", str(digits_run.path), *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert words in error and error.startswith("msnoah quantize: ")
    after = {name: (digits_run.path / name).read_bytes() for name in _files(digits_run) if name != "quantization.json"}
    assert after == before


def test_too_few_samples(tmp_path, make_export_record, monkeypatch, capsys):
    run = _masks(tmp_path, make_export_record, monkeypatch)
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind / "train" / "3.png").unlink()
    assert main(["quantize", str(run.path)]) == 2
    assert "mask_folder: its train split has 7 samples, expected 8 or more" in capsys.readouterr().err


def test_a_full_disk_leaves_what_was_there(digits_run, monkeypatch, capsys):
    quantize_run(digits_run, ["fp16"], QuantizationConfig(**FAST))
    before = {name: (digits_run.path / name).read_bytes() for name in _files(digits_run)}
    real = os.replace

    def replace(source, target):
        if Path(target).name == "model_fp16.onnx":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert main(["quantize", str(digits_run.path), "--precision", "fp16"]) == 2
    assert "model_fp16.onnx: cannot be written: No space left on device" in capsys.readouterr().err
    after = {name: (digits_run.path / name).read_bytes() for name in _files(digits_run)}
    assert {**after, "quantization.json": 0} == {**before, "quantization.json": 0}


@pytest.mark.parametrize("precision, change, words", [
    ("int8", lambda record: None, "lists no onnx_int8 artifact; `msnoah quantize .* --precision int8` writes it"),
    ("int4", lambda record: None, "precision 'int4' is not known; use fp32, fp16, int8"),
    ("fp16", lambda record: record["artifacts"]["onnx"].update(sha256="00"),
     "model_fp16.onnx: stale: made from another model.onnx than export.json lists"),
    ("fp16", lambda record: record["artifacts"]["onnx_fp16"].update(sha256="00"), "model_fp16.onnx: stale"),
    ("fp16", lambda record: record["artifacts"]["onnx_fp16"].pop("verification"), "export.json: damaged"),
])
def test_artifacts_that_are_not_opened(digits_run, precision, change, words):
    quantize_run(digits_run, ["fp16"], QuantizationConfig(**FAST))
    record = digits_run.export_record()
    change(record)
    write_json(digits_run.export_path, record)
    with pytest.raises(ProfileError, match=words) as caught:
        exported_artifact(digits_run, "onnx", precision)
    assert "\n" not in str(caught.value)
