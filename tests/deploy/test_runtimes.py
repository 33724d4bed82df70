"""The table of runtimes, and `msnoah runtimes`: what is here, missing or crashes, in one line each."""

import importlib.metadata
import json
from pathlib import Path
from typing import get_args

import pytest

from msnoah.cli import main
from msnoah.config import RuntimeName
from msnoah.deploy.runtimes import availability
from msnoah.deploy.runtimes.requirement import Requirement
from msnoah.deploy.runtimes.table import RUNTIMES, find_runtime
from msnoah.errors import RuntimeUnavailableError

GUIDE = Path(__file__).parents[2] / "docs" / "runtimes.md"


def test_settings_take_the_runtimes_of_the_table():
    assert get_args(RuntimeName) == tuple(RUNTIMES)


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=list(RUNTIMES))
def test_the_guide_states_what_each_runtime_needs(runtime):
    rows = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{runtime.name}` |")]
    assert len(rows) == 1, f"{GUIDE} has {len(rows)} rows of {runtime.name}"
    kinds, commands = (f".{kind}" for kind in runtime.kinds), (needed.command for needed in runtime.requirements)
    for words in (*commands, *kinds, runtime.purpose):
        assert words in rows[0]
    assert rows[0].endswith("| yes |" if runtime.operator_times else "| none |")


@pytest.mark.parametrize("name, words", [
    ("onxruntime", "unknown runtime 'onxruntime'; did you mean 'onnxruntime'? known: onnxruntime, mindspore"),
    ("coreml", "unknown runtime 'coreml'; known: onnxruntime, mindspore"),
])
def test_a_wrong_name_is_answered_with_the_nearest(name, words, capsys, onnx_path):
    with pytest.raises(RuntimeUnavailableError) as caught:
        find_runtime(name)
    assert str(caught.value).startswith(words)
    for arguments in (["runtimes", name], ["profile", str(onnx_path), "--runtime", name]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"msnoah {arguments[0]}: {words}") and err.count("\n") == 1


def test_what_is_here_is_listed_with_its_version(capsys):
    assert main(["runtimes", "onnxruntime", "--json"]) == 0
    [record] = json.loads(capsys.readouterr().out)
    version = importlib.metadata.version("onnxruntime")
    expected = {"package": "onnxruntime", "version": version, "problem": None, "command": "pip install onnxruntime"}
    assert record["packages"] == [expected]
    assert record["kinds"] == ["onnx"] and record["operator_times"] is True


# what the module does when it is imported -> the line
FAULTS = {
    "crash": ("import os, signal, sys\nprint('loading kernels', file=sys.stderr, flush=True)\n"
              "os.kill(os.getpid(), signal.SIGSEGV)",
              "onnxruntime cannot be imported: the measuring process died of signal 11 (SIGSEGV) in 'import_package':"
              " loading kernels"),
    "hang": ("import time\ntime.sleep(60)",
             "onnxruntime cannot be imported: the measuring process was ended: no answer within 4 s"
             " in 'import_package'"),
    "missing": ("raise ImportError('hidden by the test')",
                "onnxruntime cannot be imported (hidden by the test); `pip install onnxruntime` gets it"),
    "other": ("raise AttributeError('_ARRAY_API not found')",
              "onnxruntime cannot be imported: AttributeError: _ARRAY_API not found"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_import_that_fails_is_one_line_of_its_runtime(fault, tmp_path, monkeypatch, capsys):
    source, words = FAULTS[fault]
    (tmp_path / "onnxruntime.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(availability, "IMPORT_LIMIT_S", 4.0 if fault == "hang" else 60.0)
    assert main(["runtimes", "onnxruntime"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["onnxruntime", ".onnx", "yes", "onnxruntime", "NOT", "USABLE"]
    assert lines[-1] == f"onnxruntime: {words}"


def test_each_package_of_a_runtime_is_looked_for(monkeypatch):
    """A converter that is missing keeps a runtime from running as much as the runtime's own package."""
    here = Requirement("numpy", None, "pip install numpy")
    absent = Requirement("no-such-package", None, "pip install --no-deps no-such-package", "for its files alone")
    runtime = RUNTIMES["ncnn"]
    monkeypatch.setattr(type(runtime), "requirements", (here, absent))
    state = availability.check_runtime(runtime)
    assert [package.version for package in state.packages] == [importlib.metadata.version("numpy"), None]
    assert state.problems == ["no-such-package is not installed; `pip install --no-deps no-such-package` gets it"
                              " (for its files alone)"]
