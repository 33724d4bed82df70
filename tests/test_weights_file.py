"""Weights between the files of several programs."""

import re

import numpy as np
import pytest

from msnoah.cli import main
from msnoah.mindspore_checkpoint import write_mindspore_checkpoint
from msnoah.safetensors_checkpoint import write_safetensors
from msnoah.weights_file import read_weights

ARRAYS = {"a.weight": np.array([[1.5, -0.0], [np.inf, 3e-9]], np.float32), "b": np.array(7),
          "empty": np.zeros((0, 2), np.int8), "half": np.float16([1, 2]), "flags": np.array([True, False])}


@pytest.mark.parametrize("first, second", [
    ("a.ckpt", "b.safetensors"), ("a.safetensors", "b.ckpt"), ("a.ckpt", "b.ckpt")])
def test_weights_come_through_in_the_same_bits(first, second, tmp_path, capsys):
    writers = {"a.ckpt": write_mindspore_checkpoint, "a.safetensors": write_safetensors}
    writers[first](tmp_path / first, ARRAYS)
    assert main(["ckpt", "convert", str(tmp_path / first), "-o", str(tmp_path / second)]) == 0
    found = read_weights(tmp_path / second)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert "5 arrays" in capsys.readouterr().out


@pytest.mark.parametrize("source, target, words", [
    ("none.ckpt", "b.ckpt", "none.ckpt: cannot be read"),
    ("a.ckpt", "b.pth", "b.pth: expected a name that ends in .ckpt or .safetensors"),
    ("junk.ckpt", "b.ckpt", "junk.ckpt: "),
    ("complex.ckpt", "b.safetensors", "'z' is of type complex64; .safetensors holds none"),
    ("a.ckpt", "nowhere/b.ckpt", "cannot be written"),
])
def test_what_cannot_be_converted_says_why(source, target, words, tmp_path, capsys, monkeypatch):
    write_mindspore_checkpoint(tmp_path / "a.ckpt", ARRAYS)
    (tmp_path / "junk.ckpt").write_bytes(b"\xff" * 40)
    (tmp_path / "complex.ckpt").write_bytes(b"x")
    if source == "complex.ckpt":
        monkeypatch.setattr("msnoah.weights_file.read_weights", lambda path: {"z": np.zeros(2, np.complex64)})
    assert main(["ckpt", "convert", str(tmp_path / source), "-o", str(tmp_path / target)]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and re.search(re.escape(words), error)
    assert not (tmp_path / target).exists()
