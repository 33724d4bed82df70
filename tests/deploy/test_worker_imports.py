"""The measuring worker on a board that has Python and numpy, and no other package but the runtime's own."""

import sys

import numpy as np
import onnx
import pytest
from test_runtimes_mobile import GRAPHS, require

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.measurement import make_feeds
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import ProfileError

BARE = """
import importlib.machinery, runpy, sys

ALLOWED = {"numpy", "msnoah", *sys.argv[1:]} | sys.stdlib_module_names

class OnlyAllowed(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"No module named {name!r} (kept away by the test)", name=name)
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = OnlyAllowed
runpy.run_module("msnoah.deploy.worker", run_name="__main__")
"""


def bare_worker(*packages: str) -> WorkerProcess:
    """A worker that can import the standard library, numpy, msnoah and these packages."""
    return WorkerProcess([sys.executable, "-c", BARE, *packages])


def test_a_worker_needs_numpy_alone():
    with bare_worker() as worker:
        assert worker.device().cores >= 1
        with pytest.raises(ProfileError, match="kept away by the test.*pip install onnxruntime"):
            worker.ask("load", runtime="onnxruntime", artifact={}, threads=1, batch_size=1)


@pytest.mark.parametrize("runtime, package", [
    ("onnxruntime", "onnxruntime"), ("ncnn", "ncnn"), pytest.param("mnn", "MNN", marks=pytest.mark.slow),
])
def test_a_session_needs_the_runtimes_own_package_alone(runtime, package, tmp_path, monkeypatch):
    """Converted before, where there is more than that, as for a device."""
    monkeypatch.chdir(tmp_path)
    found = require(runtime)
    onnx.save(GRAPHS["gelu"](), tmp_path / "small.onnx")
    converted = found.convert(open_artifact(tmp_path / "small.onnx"), 1)
    inner = ("_mnncengine", "_tools") if runtime == "mnn" else ()
    with bare_worker(package, *inner) as worker:
        loaded = worker.load(runtime, converted, 1, 1)
        [spec] = map(TensorSpec.from_record, loaded["inputs"])
        worker.feed(make_feeds([spec], 1))
        assert len(worker.measure(2).wall_ms) == 2
        [output] = worker.outputs()
    assert output.shape == (1, 7, 32) and np.isfinite(output).all()
