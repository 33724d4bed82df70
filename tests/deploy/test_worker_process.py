"""A candidate's process: what it answers, and what becomes of crashes."""

import re
import sys

import numpy as np
import pytest

from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import ProfileError

CRASHES = {
    "segfault": (
        "import os, signal, sys; sys.stdin.readline(); os.kill(os.getpid(), signal.SIGSEGV)",
        "signal 11 .SIGSEGV. in 'measure'",
    ),
    "dies": (
        "import sys; sys.stdin.readline(); sys.exit('no memory left')",
        "exit code 1 in 'measure': no memory left",
    ),
    "hangs": ("import time; time.sleep(60)", "no answer within 0.5 s"),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_is_an_error_line(name, tmp_path, monkeypatch):
    code, words = CRASHES[name]
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with WorkerProcess([sys.executable, "-m", name], limit_s=0.5 if name == "hangs" else 30) as worker, pytest.raises(
        ProfileError, match=words
    ):
        worker.measure(1)
    assert worker.process.returncode is not None


def test_a_worker_measures_onnx(onnx_path):
    ballast = np.ones(50_000_000)  # 400 MB in this process must not count as the worker's
    with WorkerProcess() as worker:
        loaded = worker.start("onnxruntime", open_artifact(onnx_path), 1, 3)
        samples, [output] = worker.measure(4), worker.outputs()
        peak_mb, operators = worker.peak_memory_mb(), worker.operators(5)
    assert loaded["inputs"] == [{"name": "x", "shape": [None, 16], "dtype": "float32"}]
    assert len(samples.wall_ms) == 4 and output.shape == (3, 4)
    assert peak_mb is None or 20 < peak_mb < ballast.nbytes / 2**20
    assert [(row.operator, row.node, row.sources) for row in operators] == [
        ("MatMul", "first", ("h", "first")), ("Relu", "relu", ("r", "relu")), ("MatMul", "second", ("y", "second"))]
    assert sum(row.share for row in operators) == pytest.approx(1)


def test_what_a_runtime_refuses_is_one_line(tmp_path, onnx_path):
    artifact = open_artifact(onnx_path)
    onnx_path.write_bytes(b"\x00" * 100)
    with WorkerProcess() as worker, pytest.raises(ProfileError) as caught:
        worker.start("onnxruntime", artifact, 1, 1)
    assert "\n" not in str(caught.value) and re.search("model|protobuf", str(caught.value), re.I)


@pytest.mark.parametrize(
    "runtime, words",
    [("onnxruntime", "pip install onnxruntime"), ("coreml", "unknown runtime 'coreml'; known: onnxruntime")],
)
def test_a_missing_runtime_says_how_to_get_it(runtime, words, onnx_path, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('hidden by the test')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with WorkerProcess() as worker, pytest.raises(ProfileError, match=words):
        worker.start(runtime, open_artifact(onnx_path), 1, 1)
