"""The runner that goes on a device: one file, always the same one, that needs no more than numpy."""

import hashlib
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from msnoah.deploy.runner_archive import runner_modules, write_runner
from msnoah.deploy.runner_main import check_python

HEAVY = ("pydantic", "onnx", "yaml", "tqdm", "mindspore", "onnxruntime", "matplotlib")


def start(path, *requests, prelude="pass", folder=None):
    """Answers of the runner without any site-packages but numpy's; `prelude` runs before it."""
    numpy_home = str(np.__path__[0]).removesuffix("/numpy")
    hide = f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))"  # None in sys.modules: an ImportError
    run = f"import runpy; runpy.run_path({str(path)!r}, run_name='__main__')"
    code = f"{hide}; sys.path.append({numpy_home!r}); {prelude}; {run}"
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, input=lines, capture_output=True, text=True, cwd=folder)


def test_equal_sources_give_equal_bytes(tmp_path):
    first, second = (hashlib.sha256(write_runner(tmp_path / name).read_bytes()).digest() for name in ("a.pyz", "b.pyz"))
    assert first == second


def test_it_holds_the_worker_and_is_small(tmp_path):
    runner = write_runner(tmp_path / "runner.pyz")
    names = zipfile.ZipFile(runner).namelist()
    assert {"__main__.py", "msnoah/__init__.py", "msnoah/deploy/__init__.py", "msnoah/deploy/worker.py"} <= set(names)
    assert not [name for name in runner_modules() if name.startswith(("msnoah.nn", "msnoah.models", "msnoah.training"))]
    assert runner.stat().st_size < 500_000


def test_it_runs_with_numpy_alone(tmp_path):
    runner = write_runner(tmp_path / "runner.pyz")
    load = {"do": "load", "runtime": "onnxruntime", "threads": 1, "batch_size": 1, "artifact": {}}
    ended = start(runner, {"do": "device"}, {"do": "telemetry"}, load, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    device, telemetry, loaded = map(json.loads, ended.stdout.splitlines())
    assert device["cores"] >= 1 and "temperature_c" in telemetry
    assert "onnxruntime cannot be imported" in loaded["error"] and "pip install onnxruntime" in loaded["error"]


@pytest.mark.parametrize("prelude, words", [
    ("sys.version_info = (3, 9, 2)", "is Python 3.9; msnoah's runner needs 3.10 or later: name one in `python`"),
    ("sys.modules['numpy'] = None", "`pip install numpy` on the device gets it"),
])
def test_what_a_device_lacks_is_one_line(prelude, words, tmp_path):
    ended = start(write_runner(tmp_path / "runner.pyz"), {"do": "device"}, prelude=prelude)
    assert ended.returncode == 1 and words in ended.stderr and ended.stderr.count("\n") == 1


def test_the_oldest_python_that_will_do():
    assert check_python((3, 10, 0), "python3") is None
    assert check_python((2, 7, 18), "/usr/bin/python").startswith("/usr/bin/python is Python 2.7")
