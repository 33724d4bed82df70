"""`msnoah devices`: which answer, what they are, and cleaning up; devices without a connection, so that it is quick."""

import json
from pathlib import Path

import pytest

from msnoah.cli import main

RUNNER = Path(__file__).parents[1] / "deploy" / "scripted_runner.py"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a device that answers, one that does not, and a YAML with a fault."""
    devices = tmp_path / "configs" / "devices"
    devices.mkdir(parents=True)
    (devices / "desk.yaml").write_text(
        f"transport: local\nfolder: {tmp_path}/cache\nnative:\n  ncnn: {{file: {RUNNER}}}\n  mnn: {{file: none}}\n"
        "limits: {free_mb: 0}\n")
    (devices / "far.yaml").write_text("transport: ssh:nobody@127.0.0.1:1\n")
    (devices / "odd.yaml").write_text("transport: usb\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["devices", *arguments])
    return code, *capsys.readouterr()


def test_all_devices_are_listed_and_each_fault_is_one_line(folder, capsys):
    code, out, _ = answer(capsys)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 5
    assert lines[0].split()[:3] == ["device", "transport", "chip"] and lines[0].endswith("runtimes")
    assert lines[1].startswith("desk") and "Scripted chip" in lines[1] and lines[1].endswith("ncnn native runner")
    assert " 512 " in lines[1] and lines[1].split()[-4] == "40"  # MiB, degrees
    assert lines[2].startswith("desk: mnn: configs/devices/desk.yaml: native.mnn.file: no such file")
    assert lines[3].startswith("far: cannot be reached: ") and "refused" in lines[3]
    assert lines[4].startswith("configs/devices/odd.yaml:1: transport: found 'usb'")


def test_json_has_the_same(folder, capsys):
    _, out, _ = answer(capsys, "desk", "far", "--json")
    desk, far = json.loads(out)
    assert (desk["runtimes"], list(desk["missing"]), desk["problem"]) == ({"ncnn": "native runner"}, ["mnn"], None)
    assert desk["device"]["cores"] == 4 and desk["free_mb"] > 0
    assert far["device"] is None and "cannot be reached" in far["problem"]


def test_cleaning(folder, capsys):
    answer(capsys, "desk")
    assert (folder / "cache" / "runners").is_dir()
    assert answer(capsys, "clean", "desk")[:2] == (0, "desk: cleaned\n")
    assert not (folder / "cache").exists()
    assert answer(capsys, "clean", "desk")[:2] == (0, "desk: nothing to clean\n")
    code, _, err = answer(capsys, "clean")
    assert code == 2 and "expected `msnoah devices clean NAME_OR_YAML`" in err


@pytest.mark.parametrize("name, words", [("dsk", "did you mean 'desk'?"), ("none.yaml", "none.yaml: cannot be read")])
def test_unknown_devices(name, words, folder, capsys):
    code, _, err = answer(capsys, name)
    assert code == 2 and words in err


def test_without_devices_it_says_how_to_have_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "docs/devices.md" in answer(capsys)[1]
