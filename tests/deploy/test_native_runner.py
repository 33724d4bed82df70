"""The native runner, compiled here, against the Python session of the same runtime, and against bad requests.

Compiling ncnn takes minutes, once: what is built stays in build/native-tests. Figures: `-s`.
"""

import json
import random
import shutil
import subprocess
from dataclasses import asdict, replace

import numpy as np
import onnx
import onnxruntime
import pytest
from emulated_arm64 import QEMU
from native_runner import build_runner
from test_runtimes_mobile import GRAPHS, require

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.device import read_device
from msnoah.deploy.measurement import largest_relative_difference, make_feeds
from msnoah.deploy.telemetry import read_telemetry
from msnoah.deploy.worker_process import WORKER, WorkerProcess
from msnoah.errors import ProfileError

pytestmark = pytest.mark.slow

GATE = 1e-6
"""Relative: the same source, but another compiler's order of float32 sums and other vector instructions."""


@pytest.fixture(scope="module")
def host_command():
    return [str(build_runner("host"))]


@pytest.fixture(scope="module")
def arm_command():
    """The runner for 64-bit Arm, under emulation; it is one file that needs no libraries."""
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed; `apt-get install qemu-user-static` gets it")
    return [QEMU, str(build_runner("aarch64"))]


@pytest.fixture(scope="module", params=["host", "arm"])
def command(request):
    return request.getfixturevalue(f"{request.param}_command")


def slab_deit(image_size: int = 224, **sizes):
    """SLAB-DeiT-T as ONNX, through msnoah's own export, with weights as they are initialised."""
    from msnoah.export import export_onnx
    from msnoah.nn.fusing import fuse
    from msnoah.registry import create_model

    model = create_model("slab_deit_t", image_size=image_size, **sizes)
    image = np.zeros((1, 3, image_size, image_size), np.float32)
    return export_onnx(fuse(model), image, input_names=["image"], dynamic=())


def small_slab_deit():
    """Two blocks on 32x32 pixels."""
    return slab_deit(32, patch_size=8, depth=2, num_classes=10)


MODELS = {"gelu": (GRAPHS["gelu"], 1), "gelu, batch 3": (GRAPHS["gelu"], 3), "tokens": (GRAPHS["tokens"], 1),
          "small slab_deit": (small_slab_deit, 1)}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Artifacts converted for ncnn, by model; made on first use."""
    made, folder = {}, tmp_path_factory.mktemp("converted")

    def make(name: str):
        if name not in made:
            build, batch = MODELS[name]
            path = folder / f"model{len(made)}.onnx"
            onnx.save(build(), path)
            artifact = replace(open_artifact(path), verified=True)   # what belongs to a run is kept beside it
            made[name] = require("ncnn").convert(artifact, batch)
        return made[name]

    return make


def open_session(command, artifact, batch=1, threads=1):
    """A worker with the artifact loaded, and the inputs that it asks for."""
    worker = WorkerProcess(command, limit_s=120)
    loaded = worker.load("ncnn", artifact, threads, batch)
    return worker, make_feeds(list(map(TensorSpec.from_record, loaded["inputs"])), batch)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_those_of_the_python_session(name, threads, command, converted):
    artifact, batch = converted(name), MODELS[name][1]
    native, feeds = open_session(command, artifact, batch, threads)
    with native:
        native.feed(feeds)
        outputs = native.outputs()
    expected = require("ncnn").load(artifact, threads).run(feeds)
    difference = largest_relative_difference(outputs, expected)
    print(f"\n{command[0].split('/')[-1]} {name}, {threads} threads: {difference:.1e} from ncnn's Python package")
    assert difference <= GATE


def test_a_whole_network_on_arm_computes_what_onnx_runtime_computes_here(arm_command, tmp_path, monkeypatch):
    """SLAB-DeiT-T, 224x224; 12 blocks of float32 sums of up to 768 terms in other orders: 1e-5."""
    monkeypatch.chdir(tmp_path)
    onnx.save(slab_deit(), tmp_path / "slab_deit_t.onnx")
    worker, feeds = open_session(arm_command, require("ncnn").convert(open_artifact(tmp_path / "slab_deit_t.onnx"), 1))
    with worker:
        first_run_ms = worker.feed(feeds)
        outputs, peak_mb = worker.outputs(), worker.peak_memory_mb()
    expected = onnxruntime.InferenceSession(str(tmp_path / "slab_deit_t.onnx")).run(None, {"image": feeds[0]})
    difference = largest_relative_difference(outputs, expected)
    print(f"\nSLAB-DeiT-T by the runner on emulated Arm: {difference:.1e} from ONNX Runtime here;"
          f" first run {first_run_ms:.0f} ms of emulation, peak memory {peak_mb:.0f} MiB")
    assert difference <= 1e-5 and np.abs(expected[0]).max() > 1e-3


def test_it_answers_what_the_python_worker_answers(command, converted):
    artifact, answers = converted("tokens"), []
    for program in (command, WORKER):
        worker, feeds = open_session(program, artifact)
        with worker:
            path = worker.log_path.parent / "inputs"
            feeds[0].tofile(path)
            requests = [("load", {"runtime": "ncnn", "artifact": artifact.to_record(), "threads": 1, "batch_size": 1}),
                        ("feed", {"path": str(path)}), ("measure", {"repeats": 4}), ("peak_memory", {}),
                        ("outputs", {"path": str(path.parent / "outputs")}), ("operators", {"runs": 2}),
                        ("energy", {"runs": 1})]
            answers.append([worker.ask(do, **arguments) for do, arguments in requests])
    native, python = answers
    assert [set(answer) for answer in native] == [set(answer) for answer in python]
    assert [native[index] for index in (4, 5)] == [python[index] for index in (4, 5)]
    assert native[0]["inputs"] == python[0]["inputs"] and native[0]["version"] == python[0]["version"]
    samples = native[2]
    assert len(samples["wall_ms"]) == len(samples["cpu_ms"]) == 4 and min(samples["wall_ms"]) > 0
    assert len(samples["reference_ms"]) == 2 and min(samples["reference_ms"]) > 0
    assert 1 < native[3]["mb"] < 500


def test_the_machine_is_the_one_that_python_sees(host_command):
    with WorkerProcess(host_command) as worker:
        found, telemetry = worker.device(), worker.telemetry()
    here = read_device()
    for field in ("chip", "architecture", "system", "cores", "governor", "memory_mb"):
        assert getattr(found, field) == getattr(here, field), field
    assert set(asdict(found)) == set(asdict(here))
    for field, reading in asdict(read_telemetry()).items():
        assert (getattr(telemetry, field) is None) == (reading is None), field


LOAD = {"do": "load", "runtime": "ncnn", "artifact": {"path": "MODEL"}, "threads": 1, "batch_size": 1}
FEED = {"do": "feed", "path": "INPUTS"}
BAD_REQUESTS = {
    "no json": (["what?"], "not a request in JSON"),
    "empty": ([""], "not a request in JSON"),
    "half": (['{"do": "load", '], "not a request in JSON"),
    "not utf-8": (['{"do": "\udcff"}'], "JSON"),
    "a list": (["[1, 2]"], "the request lacks 'do'"),
    "do is a number": ([{"do": 7}], "'do' is 7; text is needed"),
    "unknown": ([{"do": "dance"}], "unknown request 'dance'; the native runner answers device, energy, feed, load"),
    "converts": ([{"do": "convert", "runtime": "ncnn"}], "unknown request 'convert'"),
    "other runtime": ([LOAD | {"runtime": "mnn"}], "no runtime 'mnn'; it was built with ncnn"),
    "no artifact": ([{"do": "load", "runtime": "ncnn"}], "lacks 'path'"),
    "artifact is text": ([LOAD | {"artifact": "x"}], "lacks 'path'"),
    "no such folder": ([LOAD | {"artifact": {"path": "/nowhere"}}], "/nowhere/interface.json: cannot be read: No such"),
    "zero threads": ([LOAD | {"threads": 0}], "'threads' is 0; a whole number from 1 to 1024 is needed"),
    "half a thread": ([LOAD | {"threads": 1.5}], "'threads' is 1.5"),
    "endless threads": ([LOAD | {"threads": 2**64 - 1}], "'threads' is 18446744073709551615"),
    "other batch": ([LOAD | {"batch_size": 2}], "built for batch 1, asked for 2"),
    "feeds before": ([FEED], "nothing is loaded; 'load' comes first"),
    "measures before": ([LOAD, {"do": "measure", "repeats": 1}], "no inputs yet; 'feed' comes first"),
    "no inputs": ([LOAD, FEED | {"path": "/nowhere"}], "/nowhere: cannot be read: No such file"),
    "inputs too short": ([LOAD, FEED | {"path": "SHORT"}], "has 5 bytes; a file of the inputs has 896"),
    "inputs are a folder": ([LOAD, FEED | {"path": "/tmp"}], "a file of the inputs has 896"),
    "minus one run": ([LOAD, FEED, {"do": "measure", "repeats": -1}], "'repeats' is -1"),
    "full disk": ([LOAD, FEED, {"do": "outputs", "path": "/dev/full"}], "cannot be written: No space left on device"),
    "no place": ([LOAD, FEED, {"do": "outputs", "path": "/nowhere/o"}], "/nowhere/o: cannot be written: No such file"),
    "load fails": ([LOAD, FEED, LOAD | {"artifact": {"path": "/nowhere"}}, {"do": "measure", "repeats": 1}],
                   "nothing is loaded"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_an_error_line_and_the_runner_goes_on(case, host_command, converted, tmp_path):
    requests, words = BAD_REQUESTS[case]
    np.zeros((1, 7, 32), np.float32).tofile(tmp_path / "inputs")
    (tmp_path / "short").write_bytes(b"12345")
    places = {"MODEL": str(converted("gelu").path), "INPUTS": str(tmp_path / "inputs"),
              "SHORT": str(tmp_path / "short")}
    lines = [request if isinstance(request, str) else json.dumps(request) for request in requests]
    for word, place in places.items():
        lines = [line.replace(f'"{word}"', json.dumps(place)) for line in lines]
    *before, answer, after = talk(host_command, [*lines, '{"do": "device"}'])
    assert words in answer["error"] and "\n" not in answer["error"]
    assert "cores" in after and len(before) == len(lines) - 1


def talk(command, lines: list[str]) -> list[dict]:
    """The answers to some lines, after which the input ends; the runner must end well too."""
    text = "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
    done = subprocess.run(command, input=text, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_noise_in_requests_never_ends_the_runner(host_command, converted, tmp_path):
    np.zeros((1, 7, 32), np.float32).tofile(tmp_path / "inputs")
    good = [LOAD | {"artifact": {"path": str(converted("gelu").path)}}, FEED | {"path": str(tmp_path / "inputs")},
            {"do": "measure", "repeats": 1}, {"do": "operators", "runs": 1}, {"do": "telemetry"}]
    dice = random.Random(0)
    lines = [spoil(dice, json.dumps(dice.choice(good))) for _ in range(2000)]
    answers = talk(host_command, lines)
    failed = sum("error" in answer for answer in answers)
    assert len(answers) == len(lines) and failed > len(lines) / 2


def spoil(dice: random.Random, line: str) -> str:
    """A line with up to four bytes changed, left out or doubled; none becomes the end of a line."""
    data = bytearray(line.encode())
    for _ in range(dice.randint(0, 4)):
        place, kind = dice.randrange(len(data)), dice.randrange(3)
        data[place:place + 1] = {0: bytes([dice.randrange(256)]), 1: b"", 2: bytes(data[place:place + 1]) * 2}[kind]
        data = data or bytearray(b"{")
    return data.replace(b"\n", b"").decode("utf-8", "surrogateescape")


DAMAGES = {
    "no weights": (lambda folder: (folder / "model.ncnn.bin").unlink(), "ncnn cannot load .*model.ncnn.bin"),
    "half the weights": (lambda folder: (folder / "model.ncnn.bin").write_bytes(b"\0" * 64), "ncnn cannot load .*bin"),
    "no graph": (lambda folder: (folder / "model.ncnn.param").unlink(), "model.ncnn.param: cannot be read"),
    "empty graph": (lambda folder: (folder / "model.ncnn.param").write_text(""), "ncnn cannot load .*param"),
    "unknown layer": (lambda folder: _append(folder / "model.ncnn.param", "aten::topk  a 1 1 in0 out0\n"),
                      r"ncnn has no layers aten::topk \(1\)"),
    "no axes": (lambda folder: (folder / "batch_axes.json").unlink(), "batch_axes.json: cannot be read"),
    "axes of nothing": (lambda folder: (folder / "batch_axes.json").write_text('{"inputs": [], "outputs": [0]}'),
                        "speaks of 0 inputs, interface.json of 1"),
    "axis outside": (lambda folder: (folder / "batch_axes.json").write_text('{"inputs": [9], "outputs": [0]}'),
                     "its batch is said to be at axis 9"),
    "axes are text": (lambda folder: (folder / "batch_axes.json").write_text('{"inputs": ["a"], "outputs": [0]}'),
                      "batch_axes.json: damaged"),
    "interface is a list": (lambda folder: (folder / "interface.json").write_text("[]"), "interface.json: damaged"),
    "free axis": (lambda folder: _reshape(folder, [None, 32]), "has the axis null; a positive number is needed"),
    "endless input": (lambda folder: _reshape(folder, [2**40, 2**40]), "larger than any device's memory"),
    "too many axes": (lambda folder: _reshape(folder, [1, 1, 1, 1, 1, 1, 1]), "7 axes beside the batch"),
}


def _append(path, text):
    path.write_text(path.read_text() + text)


def _reshape(folder, shape):
    record = json.loads((folder / "interface.json").read_text())
    record["inputs"][0]["shape"] = shape
    (folder / "interface.json").write_text(json.dumps(record))


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_model_is_an_error_line(case, host_command, converted, tmp_path):
    damage, words = DAMAGES[case]
    artifact = replace(converted("gelu"), path=tmp_path / "model")
    shutil.copytree(converted("gelu").path, artifact.path)
    damage(artifact.path)
    with WorkerProcess(host_command) as worker:
        with pytest.raises(ProfileError, match=words):
            worker.load("ncnn", artifact, 1, 1)
        assert worker.device().cores >= 1


def test_what_ncnn_prints_does_not_stand_between_the_answers(host_command, converted, tmp_path):
    """A weight file that is too short makes ncnn complain; the line stays one line of JSON."""
    folder = tmp_path / "model"
    shutil.copytree(converted("gelu").path, folder)
    (folder / "model.ncnn.bin").write_bytes(b"")
    answers = talk(host_command, [json.dumps(LOAD | {"artifact": {"path": str(folder)}})])
    assert len(answers) == 1 and "error" in answers[0]


def test_it_is_one_file_that_needs_no_libraries(command):
    program = open(command[-1], "rb").read()
    assert b"/ld-linux" not in program   # the program that would look for shared libraries
    assert len(program) < 40 * 2**20
