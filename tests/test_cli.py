"""The command line as a user meets it: exit codes, one line an error, no traceback, earlier files intact."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_config import GOOD

from msnoah.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "msnoah", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)


def answer(capsys, *arguments) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def config_path(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


# arguments, with {dir} for the test's own folder and {config} for a good YAML; then what the one line must say
WRONG_USE = [
    (("train", "{dir}/nope.yaml"), "nope.yaml: cannot be read: No such file or directory"),
    (("train", "{config}", "--set", "train.epoch=3"), "--set: unknown key 'train.epoch'; did you mean 'epochs'?"),
    (("train", "{config}", "--run", "{config}/run"), "cannot be made: Not a directory"),
    (("train", "{config}", "--run", "{dir}/a", "--resume"), "no such run folder"),
    (("train", "{config}", "--run", "{dir}/a", "--set", "model.name=slab_diet_t"), "unknown model 'slab_diet_t'; did you mean 'slab_deit_t'"),
    (("train", "{config}", "--run", "{dir}/a", "--set", "model.args.dept=3"), "takes no argument 'dept'; did you mean 'depth'?"),
    (("train", "{config}", "--run", "{dir}/a", "--set", "data.source=image_folder", "--set", "data.path={dir}/none"), "none"),
    (("train", "{config}", "--run", "{dir}/a", "--set", "model.args.patch_size=2", "--set", "model.checkpoint={config}"), "x.yaml"),
    (("train", "{config}", "--run", "{dir}/a", "--workers", "0"), "0 workers: expected 1 or more"),
    (("train", "{config}", "--run", "{dir}/a", "--workers", "7"), "which 7 workers cannot share evenly; take a multiple of 7"),
    (("eval", "{dir}/none"), "no such run folder"),
    (("export", "{dir}"), "holds no config.yaml"),
    (("profile", "{dir}/none.onnx"), "none.onnx"),
    (("compare", "{dir}/a.json", "{dir}/b.json"), "a.json"),
    (("compare", "{config}", "{config}", "--max-regression", "much"), "much"),
    (("report", "{dir}/none"), "no such run folder"),
    (("models", "resnet*"), "no model matches 'resnet*'"),
]


@pytest.mark.parametrize("arguments,message", WRONG_USE, ids=[" ".join(a) for a, _ in WRONG_USE])
def test_wrong_use_costs_one_line_and_exit_code_2(arguments, message, capsys, tmp_path, config_path):
    code, out, err = answer(capsys, *(a.format(dir=tmp_path, config=config_path) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err
    assert err.strip().count("\n") == 0, err


@pytest.mark.parametrize("device", ["GPU", "Ascend"])
def test_a_device_that_is_not_there(device, tmp_path, config_path):
    """In a process of its own: MindSpore writes to the error stream that it was imported with."""
    answered = run("train", config_path, "--run", tmp_path / "a", "--set", f"device={device}")
    assert (answered.returncode, answered.stdout) == (2, "")
    assert answered.stderr.startswith(f"msnoah train: device {device} cannot be used") and answered.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("trian",), ("profile", "x", "--threads", "two"), ("train",)])
def test_argparse_errors_exit_with_2(arguments):
    answered = run(*arguments)
    assert answered.returncode == 2 and "usage: msnoah" in answered.stderr and "Traceback" not in answered.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0 and "usage: msnoah " + command in capsys.readouterr().out


def test_models_lists_every_name_as_json(capsys):
    code, out, _ = answer(capsys, "models", "slab_*", "--json")
    assert code == 0 and {"slab_deit_t", "slab_swin_b", "slab_cswin_s", "slab_pvt_m"} <= set(json.loads(out))


def test_version():
    assert run("--version").stdout.startswith("msnoah ")
