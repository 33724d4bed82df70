"""The ToCom job as a user runs it, on a tiny model: body, plugin, a run at another degree, accuracy over degrees."""

import json

import pytest

from msnoah.checkpoint import save_weights
from msnoah.cli import main
from msnoah.config_file import load_config
from msnoah.registry import create_model
from msnoah.run_folder import RunFolder

CONFIG = """\
# A DeiT of 2 blocks on 8x8 digits, 16 patches and the class token: trains in seconds, learns a little.
model:
  name: deit_tiny_patch16_224{tocom}
  args: {{patch_size: 2, embed_dim: 16, depth: 2, num_heads: 2, mlp_ratio: 2.0, drop_path_rate: 0.0{args}}}
{checkpoint}
data:
  source: digits
  image_size: 8
  channels: 1
  mean: [0.3]
  std: [0.38]
  crop_fraction: 1.0
train:
  epochs: 2
  mode: pynative   # a few steps are done sooner than compiled
  batch_size: 240
  optimizer: {{lr: 1e-2}}
{train}
"""
DEGREES = ["--tokens-merged", "0,6", "--tocom-scale", "0.1,0.5", "--limit", "71"]


def write(path, tocom="", args="", checkpoint="", train=""):
    path.write_text(CONFIG.format(tocom=tocom, args=args, checkpoint=checkpoint, train=train), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The folder of a job on which all commands have worked."""
    root = tmp_path_factory.mktemp("tocom_job")
    body = "  checkpoint: body/best.ckpt"
    write(root / "body.yaml")
    write(root / "plugin.yaml", tocom="_tocom", args=", source_degree: 0, tokens_merged: 6", checkpoint=body,
          train="  compensation: {degrees: [0, 3, 6]}")
    write(root / "six.yaml", args=", tokens_merged: 6", checkpoint=body)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in ("body", "plugin", "six"):
            assert main(["train", f"{name}.yaml", "--run", name]) == 0, name
        assert main(["degrees", "body", "six", "--plugin", "plugin", *DEGREES]) == 0
        assert main(["report", "plugin"]) == 0
        yield root


@pytest.mark.slow
def test_the_plugin_leaves_the_body_as_it_is(job):
    from msnoah.checkpoint import read_state

    body, plugin = (read_state(job / name / "best.ckpt")[0] for name in ("body", "plugin"))
    assert all((plugin[name] == array).all() for name, array in body.items())
    added = plugin.keys() - body.keys()
    assert len(added) == 8 and any(plugin[name].any() for name in added if "adapter_up" in name)


@pytest.mark.slow
def test_accuracy_over_degrees_is_kept_in_the_runs(job, capsys):
    rows = json.loads((job / "plugin" / "degrees.json").read_text())["results"]
    found = {(row["run"], row["target_degree"], row["tocom_scale"]) for row in rows}
    assert found == {("body", 0, 0.0), ("body", 6, 0.0), ("body", 6, 0.1), ("body", 6, 0.5),
                     ("six", 0, 0.0), ("six", 0, 0.1), ("six", 0, 0.5), ("six", 6, 0.0)}
    assert {row["images"] for row in rows} == {71}
    assert main(["degrees", "body", "six", "--plugin", "plugin", *DEGREES, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == rows and "scale" not in err   # nothing is evaluated twice


@pytest.mark.slow
def test_at_its_own_degree_a_run_has_its_own_accuracy(job, capsys):
    assert main(["degrees", "six", "--tokens-merged", "6", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert main(["eval", "six"]) == 0
    assert row["top1"] == json.loads((job / "six" / "evaluation.json").read_text())["top1"]


@pytest.mark.slow
def test_the_report_has_the_maps(job):
    page = (job / "plugin" / "report.html").read_text()
    assert page.count('<svg class="heat"') == 3 and "Degrees of merging" in page


@pytest.fixture
def untrained(tmp_path):
    """A run of the body with the weights that it was built with."""
    run = RunFolder.create(tmp_path / "run", load_config(write(tmp_path / "body.yaml", args=", num_classes: 10")))
    config = run.config()
    save_weights(create_model(config.model.name, **config.model_arguments()), run.best_checkpoint, {})
    return str(run.path)


def test_the_command_prints_a_table_and_writes_a_record(untrained, capsys):
    assert main(["degrees", untrained, "--tokens-merged", "0,6", "--limit", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["trained", "at", "r=0", "r=6"] and lines[2].startswith("run (r=0)")
    assert lines[3] == "On 20 images of digits, 10 classes."
    assert len(json.loads((RunFolder.open(untrained).degrees_path).read_text())["results"]) == 2


WRONG = {
    "no such run": (["nowhere", "--tokens-merged", "0"], "nowhere: no such run folder"),
    "negative degree": (["RUN", "--tokens-merged", "0,-1"], "0 or more"),
    "no such plugin": (["RUN", "--tokens-merged", "0", "--plugin", "gone.ckpt"], "gone.ckpt: no such plugin"),
    "weights without a plugin": (["RUN", "--tokens-merged", "0", "--plugin", "RUN"], "holds no ToCom plugin"),
    "scale of zero": (["RUN", "--tokens-merged", "0", "--tocom-scale", "0"], "above 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_costs_one_line(untrained, capsys, name):
    arguments, words = WRONG[name]
    assert main(["degrees", *[untrained if each == "RUN" else each for each in arguments]]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and said.startswith("msnoah degrees: ")


USAGE = {"no runs": [], "no degrees": ["run"], "no number": ["run", "--tokens-merged", "a"],
         "no such views": ["run", "--tokens-merged", "0", "--views", "x"]}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_arguments_show_the_usage(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["degrees", *USAGE[name]])
    assert caught.value.code == 2 and "usage: msnoah degrees" in capsys.readouterr().err
