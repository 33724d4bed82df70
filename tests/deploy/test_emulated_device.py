"""An emulated 64-bit Arm board behind a real sshd: `python:` and `wrapper:` as lists, parity with this machine.

Downloads some 50 MB through apt and pip, and builds the native runner. Latencies under emulation say nothing.
"""

from importlib.metadata import version

import pytest
from emulated_arm64 import PYTHON, QEMU, Unobtainable, build_root
from native_runner import build_runner
from remote_devices import TestDevice
from test_runtimes_mobile import require

from msnoah.config import ProfileConfig
from msnoah.deploy.places import device_place
from msnoah.deploy.profiler import profile_run

pytestmark = pytest.mark.slow
SETTINGS = ProfileConfig(runtimes=["mnn", "ncnn"], warmup=1, repeats=20, time_limit_s=0)


@pytest.fixture
def board(tmp_path):
    """Python for Arm with numpy and MNN, and the native ncnn runner for Arm, both under qemu-user."""
    for runtime in ("mnn", "ncnn"):
        require(runtime)
    runner = build_runner("aarch64")
    try:
        root = build_root(tmp_path, [f"{package}=={version(package)}" for package in ("numpy", "MNN")])
    except Unobtainable as error:
        pytest.skip(str(error))
    (tmp_path / "ssh").mkdir()
    device = TestDevice("ssh", tmp_path / "ssh")
    paths = f"PYTHONPATH={root / 'site-packages'}"
    python = [QEMU, "-L", str(root), "-E", paths, str(root / "usr" / "bin" / f"python{PYTHON}")]
    native = {"ncnn": {"file": str(runner), "wrapper": [QEMU]}}
    yield device.config(python=python, native=native, runtimes=["mnn", "ncnn"])
    device.close()


def test_a_profile_of_an_arm_board_has_parity_with_this_machine(board, exported_run):
    profiles = profile_run(exported_run, SETTINGS, places=[device_place(board, only=True)])
    assert profiles.failures == [] and [profile.runtime for profile in profiles] == ["mnn", "ncnn"]
    for profile in profiles:
        assert (profile.device.architecture, profile.device_name, profile.repeats) == ("aarch64", "ssh_board", 20)
        assert profile.parity.max_rel < 2e-6  # float32 sums of up to 32 products in another order
