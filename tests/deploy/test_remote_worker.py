"""Measuring on a device, over the real ssh and adb programs; and what becomes of devices that fail."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from remote_devices import TestDevice

from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.remote_device import RemoteDevice
from msnoah.deploy.remote_store import free_mb
from msnoah.deploy.remote_worker import RemoteWorker, artifact_files
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import DeviceError, MsnoahError, ProfileError

SCRIPTED = Path(__file__).parent / "scripted_runner.py"
RUNTIME = "onnxruntime"  # whose artifact is the file itself


@pytest.fixture
def make_device(tmp_path):
    """A function that makes the device of a kind; all are stopped at the end."""
    made = []

    def make(kind: str) -> TestDevice:
        folder = tmp_path / kind
        folder.mkdir()
        made.append(TestDevice(kind, folder))
        return made[-1]

    yield make
    for device in made:
        device.close()


def scripted(device: TestDevice, script: str | None = None, **limits) -> RemoteDevice:
    """The device with the scripted runner in the place of a runtime."""
    environment = {"SCRIPT": script} if script else {}
    native = {RUNTIME: {"file": str(SCRIPTED)}}
    return RemoteDevice(device.config(native=native, environment=environment, **device.limits(**limits)))


def start(worker: RemoteWorker, path: Path) -> dict:
    return worker.start(RUNTIME, open_artifact(path), 1, 1)


def left_behind(remote: RemoteDevice) -> list[str]:
    """Files in sessions, and of pushes that were not finished."""
    return [path.name for part in ("sessions", "incoming") for path in Path(remote.root, part).iterdir()]


@pytest.mark.parametrize("kind", ["ssh", "adb"])
def test_the_python_runner_gives_what_a_local_worker_gives(kind, make_device, onnx_path):
    remote, artifact = RemoteDevice(make_device(kind).config()), open_artifact(onnx_path)
    with WorkerProcess() as worker:
        here = worker.start(RUNTIME, artifact, 1, 3)
        expected, machine = worker.outputs(), worker.device()
    with RemoteWorker(remote, RUNTIME) as worker:
        there = worker.start(RUNTIME, artifact, 1, 3)
        samples, [output], operators = worker.measure(4), worker.outputs(), worker.operators(2)
        assert (worker.device().chip, worker.device().cores) == (machine.chip, machine.cores)
        assert 20 < worker.peak_memory_mb() < 500
    assert (there["version"], there["inputs"]) == (here["version"], here["inputs"])
    assert len(samples.wall_ms) == 4 and {row.operator for row in operators} == {"MatMul", "Relu"}
    np.testing.assert_array_equal(output, expected[0])  # the same library on the same machine
    assert left_behind(remote) == []


def test_what_a_device_has_is_not_pushed_again_unless_it_is_damaged(make_device, onnx_path):
    remote = scripted(make_device("local"))
    pushed = []
    remote.push = lambda source, target, push=remote.push: (pushed.append(source.name), push(source, target))
    cases = (None, ["scripted_runner.py", onnx_path.name]), (None, []), (b"damaged", [onnx_path.name])
    for damage, expected in cases:
        kept = Path(remote.root or "/none", "artifacts", open_artifact(onnx_path).sha256, onnx_path.name)
        if damage:
            kept.write_bytes(damage)
        with RemoteWorker(remote, RUNTIME) as worker:
            assert start(worker, onnx_path)["version"] == onnx_path.name
        assert [name for name in pushed if name != "inputs"] == expected
        pushed.clear()
    assert kept.read_bytes() == onnx_path.read_bytes()


@pytest.mark.parametrize("kind, back, words", [
    *((kind, "", "did not come back within 0 s: .*cannot be reached") for kind in ("ssh", "adb")),
    ("ssh", "rebooted", "has rebooted"),
    ("adb", "up", "answers again"),
])
def test_a_device_killed_while_it_measures(kind, back, words, make_device, onnx_path):
    device = make_device(kind)
    remote = scripted(device, "hang", return_s=30 if back else 0)

    def kill():
        while not list(Path(remote.root, "sessions").glob("*/measuring")):
            time.sleep(0.02)
        if back == "rebooted":
            device.plant("cat", 'case "$1" in */boot_id) echo another;; *) exec /bin/cat "$@";; esac')
        device.kill()
        if back:
            device.server.start()

    with RemoteWorker(remote, RUNTIME) as worker:
        start(worker, onnx_path)
        killer = threading.Thread(target=kill)
        killer.start()
        broken = f"{kind}_board: the connection broke in 'measure'.*; the device {words}"
        with pytest.raises(DeviceError, match=broken) as caught:
            worker.measure(1)
        killer.join()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind, script, words", [
    *((kind, "segfault", "the runner died of signal 11 .SIGSEGV. in 'measure'") for kind in ("local", "ssh", "adb")),
    *((kind, "die", "the runner ended with exit code 1 in 'measure': no memory left") for kind in ("ssh", "adb")),
    ("local", "babble", "answered 'measure' with 'Welcome!'; expected a JSON object"),
    ("local", "refuse", "the scripted runner refuses"),
])
def test_a_runner_that_fails_is_one_line(kind, script, words, make_device, onnx_path):
    remote = scripted(make_device(kind), script)
    with RemoteWorker(remote, RUNTIME) as worker, pytest.raises(ProfileError, match=words) as caught:
        start(worker, onnx_path)
        worker.measure(1)
    assert "\n" not in str(caught.value) and left_behind(remote) == []


@pytest.mark.parametrize("kind", ["local", "ssh", "adb"])
def test_a_runner_that_hangs_is_ended_on_the_device_too(kind, make_device, onnx_path):
    remote = scripted(make_device(kind), "hang", answer_s=1.5)
    with RemoteWorker(remote, RUNTIME) as worker:
        start(worker, onnx_path)
        number = int(Path(worker.session.folder, "pid").read_text())
        os.kill(number, 0)
        with pytest.raises(DeviceError, match=r"no answer to 'measure' within 1.5 s \(limits.answer_s\)"):
            worker.measure(1)
    deadline = time.monotonic() + 10  # a killed process is listed until its parent has taken notice
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(number, 0)
            time.sleep(0.05)
    assert left_behind(remote) == []


@pytest.mark.parametrize("kind", ["ssh", "adb"])
def test_files_that_arrive_damaged_twice_are_an_error(kind, make_device, onnx_path):
    device = make_device(kind)
    remote = scripted(device)
    with RemoteWorker(remote, RUNTIME) as worker:
        device.plant("sha256sum", 'for name; do echo "$(printf "%064d" 0)  $name"; done')
        with pytest.raises(DeviceError, match="small.onnx arrived 2 times with sha256 000000000000 instead of"):
            start(worker, onnx_path)
    assert list(Path(remote.root, "artifacts").iterdir()) == [] and left_behind(remote) == []


def test_too_little_space_is_told_before_the_push(make_device, onnx_path):
    device = make_device("ssh")
    remote = scripted(device, free_mb=12)
    with RemoteWorker(remote, RUNTIME) as worker:
        device.plant("df", "echo Filesystem 1024-blocks Used Available Capacity; echo /dev/mmc 99999 9 11264 9% /a b")
        little = "11.0 MiB free in .*; 0.0 are to be pushed and 12 are to stay free.*devices clean"
        with pytest.raises(DeviceError, match=little):
            start(worker, onnx_path)
    assert list(Path(remote.root, "artifacts").iterdir()) == []


@pytest.mark.parametrize("kind", ["ssh", "adb"])
def test_a_disk_that_fills_up_leaves_nothing_that_looks_whole(kind, make_device, onnx_path):
    device = make_device(kind)
    remote = scripted(device)
    with RemoteWorker(remote, RUNTIME) as worker:
        if kind == "ssh":
            device.plant("cat", 'case "$#" in 0) head -c 100; exec /bin/cat > /dev/full;; *) exec /bin/cat "$@";; esac')
        else:
            device.server.full = True
        with pytest.raises(DeviceError, match="cannot be written: .*No space left on device"):
            start(worker, onnx_path)
    assert list(Path(remote.root, "artifacts").iterdir()) == [] and left_behind(remote) == []


@pytest.mark.parametrize("kind, changes, words", [
    ("ssh", {"folder": "/proc/msnoah"}, "folder /proc/msnoah cannot be used: mkdir: .*/proc/msnoah"),
    ("local", {"python": ["no_python_here"]}, "ended with exit code 127 in 'load': .*no_python_here: not found"),
    ("local", {"python": ["sh", "-c", "echo no numpy >&2; exit 1"]}, "ended with exit code 1 in 'load': no numpy"),
    ("local", {"native": {RUNTIME: {"file": "none"}}}, "local_board.yaml: native.onnxruntime.file: no such file"),
    ("ssh", {"transport": "ssh:nobody@127.0.0.1:1"}, "ssh_board: cannot be reached: .*Connection refused"),
    ("ssh", {"ssh": {"options": {"StrictHostKeyChecking": True}}}, "cannot be reached: .*verification failed"),
])
def test_what_is_wrong_with_a_device_is_one_line(kind, changes, words, make_device, onnx_path):
    remote = RemoteDevice(make_device(kind).config(**changes))
    with pytest.raises(MsnoahError, match=words) as caught, RemoteWorker(remote, RUNTIME) as worker:
        start(worker, onnx_path)
    assert "\n" not in str(caught.value)


def test_a_converter_that_crashes_costs_its_row_and_not_the_device(make_device, onnx_path, tmp_path, monkeypatch):
    (tmp_path / "MNN").mkdir()
    (tmp_path / "MNN" / "__init__.py").write_text("__version__ = '0'")
    (tmp_path / "_tools.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    native = {"mnn": {"file": str(SCRIPTED)}, RUNTIME: {"file": str(SCRIPTED)}}
    remote = RemoteDevice(make_device("local").config(native=native))
    died = "mnn's converter died of signal 11 .SIGSEGV."
    with RemoteWorker(remote, "mnn") as worker, pytest.raises(ProfileError, match=died):
        worker.start("mnn", open_artifact(onnx_path), 1, 1)
    with RemoteWorker(remote, RUNTIME) as worker:
        assert start(worker, onnx_path)["version"] == onnx_path.name


def test_a_folder_that_others_use_is_left_alone(make_device):
    device = make_device("local")
    remote = RemoteDevice(device.config())
    root = device.folder / "cache" / "msnoah"
    (root / "artifacts").mkdir(parents=True)
    with pytest.raises(DeviceError, match="holds 'artifacts', which msnoah did not make; name another folder"):
        remote.connect()
    assert remote.clean() is False and (root / "artifacts").is_dir()


def test_cleaning_removes_what_msnoah_left_and_nothing_else(make_device):
    device = make_device("ssh")
    remote = RemoteDevice(device.config())
    remote.connect()
    Path(remote.root, "mine").write_text("kept")
    assert remote.clean() is True and [path.name for path in Path(remote.root).iterdir()] == ["mine"]
    assert remote.clean() is False


def test_free_space_is_that_of_df_where_names_hold_spaces(make_device):
    device = make_device("local")
    remote = RemoteDevice(device.config())
    remote.root = "/"
    assert free_mb(remote) > 0
    for shown, expected in (("/dev/my disk 1 2 2048 30% /my disk", 2.0), ("df: /x: not found", None), ("", None)):
        remote.command = lambda *_, shown=shown: type("Ending", (), {"output": f"Filesystem ...\n{shown}"})
        assert free_mb(remote) == expected


def test_weights_in_other_files_travel_with_an_artifact(onnx_path, tmp_path):
    import onnx

    model = onnx.load(onnx_path)
    onnx.save(model, tmp_path / "outer.onnx", save_as_external_data=True, location="outer.bin", size_threshold=0)
    artifact = open_artifact(tmp_path / "outer.onnx")
    assert artifact_files(artifact) == {name: tmp_path / name for name in ("outer.onnx", "outer.bin")}
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "../outer.bin"
    onnx.save(model, tmp_path / "folder.onnx")
    with pytest.raises(MsnoahError, match="lie outside of its folder"):
        artifact_files(artifact.__class__(**{**vars(artifact), "path": tmp_path / "folder.onnx"}))


