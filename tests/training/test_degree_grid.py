"""Accuracy over degrees on tiny models: the grid against models that were built for each of its cells."""

import dataclasses
import json

import numpy as np
import pytest
from mindspore import Tensor, ops

from msnoah.checkpoint import save_weights
from msnoah.config import RunConfig
from msnoah.data.sources import open_source
from msnoah.data.spread_source import SpreadSource
from msnoah.degree_records import arrange, read_results
from msnoah.errors import CheckpointError, ModelError, RunFolderError
from msnoah.nn.step_inputs import weights
from msnoah.registry import create_model
from msnoah.run_folder import RunFolder
from msnoah.training import degree_grid
from msnoah.training.degree_grid import evaluate_degrees
from msnoah.training.evaluator import validation_loader

ARGS = {"patch_size": 4, "embed_dim": 8, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0, "drop_path_rate": 0.0}
DATA = {"source": "digits", "image_size": 16, "channels": 1, "mean": [0.3], "std": [0.38], "crop_fraction": 1.0,
        "classes": [str(digit) for digit in range(10)]}
IMAGES = 20


def draw_weights(model, seed: int) -> None:
    """Weights under which predictions differ from image to image, and with a plugin that is felt."""
    rng = np.random.default_rng(seed)
    for name, parameter in weights(model).items():
        spread = 4.0 / np.sqrt(np.prod(parameter.shape[1:])) if parameter.ndim > 1 else 0.1
        centre = float(name.endswith("gamma"))
        values = centre + spread * rng.standard_normal(parameter.shape) * (name != "cls_token")
        ops.assign(parameter, Tensor(values.astype(np.float32)))


@pytest.fixture
def make_source(tmp_path):
    """make_source(name, mode="pynative", **args): a run of a tiny DeiT on 17 tokens, not trained."""
    def make(name: str, mode: str = "pynative", data=None, **args) -> RunFolder:
        kind = "deit_tiny_patch16_224" + "_tocom" * ("source_degree" in args)
        train = {"epochs": 1, "batch_size": 20, "mode": mode}
        config = RunConfig(model={"name": kind, "args": {**ARGS, **args}}, data=data or DATA, train=train)
        run = RunFolder.create(tmp_path / name, config)
        model = create_model(kind, **config.model_arguments())
        draw_weights(model, seed=2)
        save_weights(model, run.best_checkpoint, {})
        return run

    return make


def top1_of_a_model_for_the_cell(run: RunFolder, plugin: RunFolder, source: int, target: int, scale: float) -> float:
    config = run.config()
    degrees = {"source_degree": source, "tocom_scale": scale, "tokens_merged": target}
    model = create_model(config.model.name, checkpoint=run.best_checkpoint, plugin=plugin.best_checkpoint,
                         **{**config.model_arguments(), **degrees})
    split = SpreadSource(open_source(config.data, "val"), IMAGES)
    hits = [model(Tensor(batch.images)).asnumpy().argmax(1)[:batch.count] == batch.labels[:batch.count]
            for batch in validation_loader(split, config).epoch(0)]
    return float(np.concatenate(hits).mean())


@pytest.mark.slow
def test_the_grid_has_the_numbers_of_models_built_for_each_cell(make_source):
    run, plugin = make_source("two", mode="graph", tokens_merged=2), make_source("plugin", source_degree=0)
    results = evaluate_degrees([run], [0, 5], plugin=plugin.path, scales=[2.0], limit=IMAGES)
    found = {(result.target_degree, result.tocom_scale): result.top1 for result in results}
    expected = {(target, scale): top1_of_a_model_for_the_cell(run, plugin, 2, target, scale)
                for target in (0, 5) for scale in (0.0, 2.0)}
    assert found == expected and len(set(expected.values())) > 1   # every one is a share of the same 20 images


def test_where_degrees_are_the_same_the_run_is_what_it_was(make_source):
    run, plugin = make_source("two", tokens_merged=2), make_source("plugin", source_degree=0)
    (result,) = evaluate_degrees([run], [2], plugin=plugin.path, limit=IMAGES)
    assert result.top1 == top1_of_a_model_for_the_cell(run, plugin, 2, 2, 0.0) and result.plugin_sha256 is None
    cell = arrange([result]).rows[0].cells[2]
    assert cell.plain == result.top1 and cell.compensated is None


def test_a_half_done_grid_goes_on(make_source, monkeypatch):
    runs, plugin = [make_source("zero"), make_source("three", tokens_merged=3)], make_source("plugin", source_degree=0)
    evaluated, compensate = [], degree_grid.SourceRun.compensate

    def counting(self, target, scale):
        if scale:
            evaluated.append((self.run.name, target, scale))
        if len(evaluated) == stop:
            raise KeyboardInterrupt
        compensate(self, target, scale)

    monkeypatch.setattr(degree_grid.SourceRun, "compensate", counting)
    settings = {"plugin": plugin.path, "scales": [0.5, 1.0], "limit": 10}
    stop = 3
    with pytest.raises(KeyboardInterrupt):
        evaluate_degrees(runs, [0, 3], **settings)
    kept = len(read_results(plugin.degrees_path)[1])
    assert kept == 5   # zero at 0, and at 3 plain and at both scales; three at 0
    stop = None
    results = evaluate_degrees(runs, [0, 3], **settings)
    assert evaluated == [("zero", 3, 0.5), ("zero", 3, 1.0), ("three", 0, 0.5), ("three", 0, 0.5), ("three", 0, 1.0)]
    assert len(results) == 8 and read_results(plugin.degrees_path)[1] == results
    assert [result.run for result in read_results(runs[1].degrees_path)[1]] == ["three"] * 4
    assert evaluate_degrees(runs, [0, 3], **settings) == results and len(evaluated) == 5


def test_other_weights_are_evaluated_anew(make_source):
    run = make_source("zero")
    before = evaluate_degrees([run], [0], limit=10)
    config = run.config()
    model = create_model(config.model.name, **config.model_arguments())
    draw_weights(model, seed=99)
    save_weights(model, run.best_checkpoint, {})
    after = evaluate_degrees([run], [0], limit=10)
    assert before[0].checkpoint_sha256 != after[0].checkpoint_sha256
    assert read_results(run.degrees_path)[1] == after


def test_of_several_scales_the_best_counts_and_the_means_choose_nothing(make_source):
    run = make_source("two", tokens_merged=2)
    first = evaluate_degrees([run], [0], limit=10)[0]
    plain = dataclasses.replace(first, top1=0.5)
    scaled = [dataclasses.replace(plain, tocom_scale=scale, plugin_sha256="p", top1=top1)
              for scale, top1 in ((0.05, 0.6), (0.1, 0.7), (0.15, 0.4))]
    grid = arrange([plain, *scaled])
    cell = grid.rows[0].cells[0]
    assert (cell.compensated, cell.scale, cell.gain) == (0.7, 0.1, pytest.approx(0.2))
    assert grid.mean_gains() == pytest.approx({0.05: 0.1, 0.1: 0.2, 0.15: -0.1})


WRONG = {
    "no runs": ({"runs": []}, ModelError, "name one or more run folders"),
    "no degrees": ({"targets": []}, ModelError, "name one or more numbers"),
    "negative degree": ({"targets": [-1]}, ModelError, "0 or more"),
    "scale of zero": ({"scales": [0.0]}, ModelError, "above 0"),
    "limit of zero": ({"limit": 0}, ModelError, "1 image or more"),
    "no such plugin": ({"plugin": "nowhere.ckpt"}, CheckpointError, "nowhere.ckpt: no such plugin"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_costs_one_line(make_source, name):
    changes, error, words = WRONG[name]
    settings = {"runs": [make_source("zero")], "targets": [0], "limit": 10, **changes}
    with pytest.raises(error, match=words):
        evaluate_degrees(settings.pop("runs"), settings.pop("targets"), **settings)


MISFITS = {
    "tokens used up": ({"tokens_merged": 1, "depth": 6}, [8], ModelError, "run: tokens_merged=8: uses up the 17"),
    "more than the plugin knows": ({"patch_size": 2}, [20], ModelError, "knows 0 to 16"),
    "linear attention": ({"attention": "linear"}, [2], ModelError, "run: tokens_merged: linear attention"),
    "another width": ({"embed_dim": 12}, [2], CheckpointError, "run: .*does not fit the model"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_runs_that_do_not_fit_are_named(make_source, name):
    args, targets, error, words = MISFITS[name]
    plugin = None if name == "linear attention" else make_source("plugin", source_degree=0).path
    with pytest.raises(error, match=words):
        evaluate_degrees([make_source("run", **args)], targets, plugin=plugin, limit=10)


def test_a_model_without_tokens_is_named(tmp_path):
    data = {**DATA, "source": "fashion_mnist"}
    config = RunConfig(model={"name": "pvt_t_prepbn"}, data=data, train={"epochs": 1})
    with pytest.raises(ModelError, match="run: pvt_t_prepbn has no tokens that it could merge"):
        evaluate_degrees([RunFolder.create(tmp_path / "run", config)], [2])


def test_a_run_that_was_not_trained_is_named(make_source):
    run = make_source("zero")
    run.best_checkpoint.unlink()
    with pytest.raises(CheckpointError, match="best.ckpt: no such checkpoint"):
        evaluate_degrees([run], [0])


@pytest.mark.parametrize("content", [{}, {"settings": {}, "results": []}, {"settings": 3, "results": []}])
def test_a_damaged_file_costs_one_line(make_source, content):
    run = make_source("zero")
    run.degrees_path.write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match="degrees.json: is damaged"):
        evaluate_degrees([run], [0])
