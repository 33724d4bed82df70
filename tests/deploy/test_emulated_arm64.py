"""The Python worker on 64-bit Arm, emulated by qemu-user: ncnn and MNN against ONNX Runtime of this machine.

Downloads some 50 MB through apt and pip. Latencies under emulation say nothing of a device. Figures: `-s`.
"""

from importlib.metadata import PackageNotFoundError, version

import numpy as np
import onnx
import onnxruntime
import pytest
from emulated_arm64 import Unobtainable, build_root, python_command
from test_runtimes_mobile import GRAPHS, require

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.measurement import largest_relative_difference, make_feeds
from msnoah.deploy.worker_process import WorkerProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Python for Arm with the versions of numpy, ncnn and MNN that are installed here."""
    try:
        wheels = [f"{package}=={version(package)}" for package in ("numpy", "ncnn", "MNN")]
        return build_root(tmp_path_factory.mktemp("arm64"), wheels)
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed; `pip install {error.name}` gets it")
    except Unobtainable as error:
        pytest.skip(str(error))


@pytest.fixture
def arm_worker(root):
    """Starts workers of the emulated machine."""
    return lambda: WorkerProcess(python_command(root, "-m", "msnoah.deploy.worker"), limit_s=300)


def slab_deit():
    """SLAB-DeiT-T at its full size, with weights as they are initialised."""
    from msnoah.export import export_onnx
    from msnoah.nn.fusing import fuse
    from msnoah.registry import create_model

    image = np.zeros((1, 3, 224, 224), np.float32)
    return export_onnx(fuse(create_model("slab_deit_t")), image, input_names=["image"], dynamic=())


MODELS = {"gelu": GRAPHS["gelu"], "tokens": GRAPHS["tokens"], "slab_deit_t": slab_deit}
GATES = {"gelu": 2e-6, "tokens": 2e-6, "slab_deit_t": 1e-5}
"""Relative: sums of up to 32 float32 products in another order; and 12 blocks of sums of up to 768."""


@pytest.fixture(scope="module")
def path_of(tmp_path_factory):
    """Paths of the models as ONNX; made on first use."""
    folder = tmp_path_factory.mktemp("models")

    def make(name):
        path = folder / f"{name}.onnx"
        if not path.is_file():
            onnx.save(MODELS[name](), path)
        return path

    return make


def test_the_worker_says_that_it_is_arm(arm_worker):
    with arm_worker() as worker:
        assert worker.device().architecture == "aarch64"


@pytest.mark.parametrize("runtime", ["ncnn", "mnn"])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_on_arm_are_those_of_onnx_runtime_here(name, runtime, arm_worker, path_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    converted = require(runtime).convert(open_artifact(path_of(name)), 1)
    with arm_worker() as worker:
        loaded = worker.load(runtime, converted, 1, 1)
        specs = list(map(TensorSpec.from_record, loaded["inputs"]))
        feeds = make_feeds(specs, 1)
        first_run_ms = worker.feed(feeds)
        outputs = worker.outputs()
    session = onnxruntime.InferenceSession(str(path_of(name)))
    expected = session.run(None, {spec.name: feed for spec, feed in zip(specs, feeds, strict=True)})
    difference = largest_relative_difference(outputs, expected)
    print(f"\n{runtime} {loaded['version']} on emulated Arm, {name}: {difference:.1e} from ONNX Runtime here;"
          f" first run {first_run_ms:.0f} ms of emulation")
    assert difference <= GATES[name]
