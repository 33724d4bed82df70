"""Many states of one run are evaluated by one model; and the command that does so for every preset."""

import json
import os
import signal

import numpy as np
import pytest

from msnoah.cli import main
from msnoah.compression.chain import Chain
from msnoah.compression.settings import PRESETS
from msnoah.errors import CheckpointError, DataError
from msnoah.run_folder import read_json
from msnoah.state_file import read_state, save_state
from msnoah.training.evaluator import evaluate_run
from msnoah.training.state_evaluator import StateEvaluator
from msnoah.training.trainer import train


@pytest.fixture
def trained(make_config, make_run):
    """A run with averaged weights, and what it kept of its last steps."""
    config = make_config(epochs=1, ema_decay=0.5)
    run = make_run(config)
    train(config, run)
    for path in run.checkpoints_path.glob("*.ckpt"):
        path.unlink()
    arrays, metadata = read_state(run.last_checkpoint)
    generator = np.random.default_rng(0)
    for back in range(3):
        step = metadata["state"]["step"] - back
        state = {**metadata["state"], "step": step}
        save_state(run.checkpoints_path / f"{step:09d}.ckpt", arrays, {**metadata, "state": state})
        arrays = {name: array + (0.01 * generator.standard_normal(array.shape)).astype(np.float32)
                  if array.dtype == np.float32 and "second_moment" not in name else array
                  for name, array in arrays.items()}
    return run


def test_one_model_evaluates_every_state_as_eval_does(trained):
    """The averages, since these are evaluated and exported; and again the first, after another one."""
    evaluate, paths = StateEvaluator(trained), sorted(trained.checkpoints_path.glob("*.ckpt"))
    for path in (*paths, paths[0]):
        expected = evaluate_run(trained, checkpoint=path)
        assert evaluate(read_state(path)[0], path) == {key: expected[key] for key in ("loss", "top1")}
    assert evaluate.images == expected["images"] > 300
    part = StateEvaluator(trained, images=50)
    assert part.images == 50 and part(read_state(path)[0], path) != evaluate(read_state(path)[0], path)
    with pytest.raises(CheckpointError, match="other.ckpt: holds nothing for "):
        evaluate({}, trained.path / "other.ckpt")


def test_a_part_is_of_images_with_one_label(make_config, make_run, monkeypatch):
    config = make_config()
    run = make_run(config)
    segmented = config.model_copy(update={"data": config.data.model_copy(update={"segmentation": object()})})
    monkeypatch.setattr(type(run), "config", lambda self: segmented)
    with pytest.raises(DataError, match="for images with one label, but the run's source is digits"):
        StateEvaluator(run, images=50)
    assert main(["ckpt", "measure", str(run.path), "--val-images", "50"]) == 2


def test_the_command_measures_what_the_run_kept(trained, capsys):
    assert main(["ckpt", "measure", str(trained.path), "--val-images", "60", "--json"]) == 0
    record = read_json(trained.compression_path)
    assert json.loads(capsys.readouterr().out) == record
    assert (len(record["states"]), record["val_images"], record["key_frame_every"]) == (3, 60, 5)
    assert list(record["codings"])[:3] == list(PRESETS)
    scores = record["states"][-1]["scores"]
    assert scores.keys() == {"loss", "top1"} and record["codings"]["lossless"]["rows"][-1]["scores"] == scores
    assert main(["ckpt", "measure", str(trained.path), "--last", "2", "--presets", "extreme", "--val-images", "9",
                 "--controls", "none"]) == 0
    assert "2 states" in capsys.readouterr().out
    record = read_json(trained.compression_path)
    assert len(record["states"]) == 2 and list(record["codings"]) == ["extreme"]


def test_termination_leaves_the_earlier_record_and_no_files(make_config, make_run, tmp_path, monkeypatch, capsys):
    run, temporary = make_run(make_config()), tmp_path / "temporary"
    temporary.mkdir()
    run.compression_path.write_text("{}")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    paths = [str(run.path / f"{step}.ckpt") for step in (1, 2)]
    for step, path in enumerate(paths, 1):
        save_state(path, {"w": np.arange(99, dtype=np.float32)}, {"state": {"step": step}})
    monkeypatch.setattr(Chain, "append_key", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert main(["ckpt", "measure", str(run.path), *paths]) == 130
    assert capsys.readouterr().err.endswith("msnoah ckpt: interrupted\n") and list(temporary.iterdir()) == []
    assert run.compression_path.read_text() == "{}" and signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("arguments, words", [
    (["measure", "{run}"], "checkpoints: holds no training states; `checkpoint: {keep_last: all}`"),
    (["measure", "{run}", "{run}/none.ckpt", "--last", "1"], "--last 1: expected 2 or more"),
    (["measure", "{run}", "{run}/none.ckpt"], "none.ckpt: cannot be read"),
    (["measure", "{run}", "--val-images", "0"], "0 images of a split: expected 1 or more"),
    (["measure", "{run}", "{run}/config.yaml", "--key-frame-every", "0"], "key_frame_every 0: expected 1 or more"),
    (["measure", "{run}/none"], "no such run folder"),
    (["inspect", "{run}"], "chain: holds no compressed checkpoints"),
    (["restore", "{run}", "-o", "{run}/x.ckpt"], "chain: holds no .excp files"),
])
def test_wrong_use_of_a_run_folder_is_one_line(arguments, words, make_config, make_run, capsys):
    run = make_run(make_config())
    assert main(["ckpt", *(argument.format(run=run.path) for argument in arguments)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("msnoah ckpt: ") and words in error


def test_inspect_and_restore_find_the_chain_of_a_run(make_config, make_run, capsys):
    run = make_run(make_config())
    run.chain_path.mkdir()
    Chain(run.chain_path).append_key(7, {"w": np.arange(9.0)}, {"state": {"step": 7}})
    output = run.path / "last.ckpt"
    assert main(["ckpt", "inspect", str(run.path)]) == 0 and "000000007.excp" in capsys.readouterr().out
    assert main(["ckpt", "restore", str(run.path), "-o", str(output)]) == 0
    assert read_state(output)[0]["w"].tolist() == list(range(9))
