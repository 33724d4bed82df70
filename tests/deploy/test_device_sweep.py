"""`msnoah profile --device`: several devices at once, what is kept of one that fails, and going on later."""

import json
from pathlib import Path

import pytest
from remote_devices import TestDevice

from msnoah.cli import main
from msnoah.config import ProfileConfig
from msnoah.deploy import row_measurement
from msnoah.deploy.artifact_file import exported_artifact
from msnoah.deploy.places import HERE
from msnoah.deploy.profile import load_profile
from msnoah.deploy.resuming import take_finished

SCRIPTED = str(Path(__file__).parent / "scripted_runner.py")
HUNG = "no answer to 'measure' within 3 s (limits.answer_s); the runner was ended"
SHORT = ["--warmup", "1", "--repeats", "30", "--time-limit", "0"]


@pytest.fixture
def devices(tmp_path):
    """This machine three times: as itself, behind sshd, and behind an adb daemon."""
    made = {}
    try:
        for kind in ("local", "ssh", "adb"):
            (tmp_path / kind).mkdir()
            made[kind] = TestDevice(kind, tmp_path / kind)
        yield made
    finally:
        for device in made.values():
            device.close()


def scripted(device: TestDevice, **environment: str) -> str:
    """The path of the device's YAML, with the scripted runner in the place of a runtime."""
    native, limits = {"onnxruntime": {"file": SCRIPTED}}, device.limits(answer_s=3)
    return str(device.config(native=native, runtimes=["onnxruntime"], environment=environment, **limits).path)


def profile(capsys, *arguments) -> tuple[int, list[dict], str]:
    code = main(["profile", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out or "[]"), err


def test_devices_are_measured_at_once_and_compared_with_this_machine(exported_run, devices, capsys):
    paths = [device.config(runtimes=["onnxruntime"]).path for device in (devices["ssh"], devices["adb"])]
    code, records, _ = profile(capsys, exported_run.path, "--device", paths[0], "--device", paths[1], *SHORT)
    assert code == 0 and [record["device_name"] for record in records] == ["ssh_board", "adb_board"]
    for record in records:
        assert len(record["wall_ms"]) == 30 and record["device"]["cores"] >= 1 and record["peak_memory_mb"] > 20
        assert record["parity"] == {"against": "onnxruntime", "max_rel": 0.0}  # the same library on the same machine
        assert {row["operator"] for row in record["operators"]} == {"MatMul", "Relu"}
    kept = [path.name for path in exported_run.profile_paths()]
    assert kept == ["onnxruntime-t1-b1@adb_board.json", "onnxruntime-t1-b1@ssh_board.json"]


def test_what_a_lost_device_gave_is_kept_and_a_later_command_goes_on(exported_run, devices, capsys):
    lost, whole = (scripted(devices["ssh"], SCRIPT="hang", FAILS_AT="4"), scripted(devices["local"]))
    arguments = (exported_run.path, "--device", lost, "--device", whole, *SHORT)
    code, records, _ = profile(capsys, *arguments)
    rows = {record["device_name"]: record for record in records}
    assert code == 0 and len(rows["local_board"]["wall_ms"]) == 30 and rows["local_board"]["cut_short"] is None
    assert len(rows["ssh_board"]["wall_ms"]) == 20  # after the warm-up and two rounds of ten
    assert rows["ssh_board"]["cut_short"] == f"ssh_board: {HUNG}"
    cut = load_profile(exported_run.profiles_path / "onnxruntime-t1-b1@ssh_board.json")
    assert cut.warnings()[0].startswith("cut short after 20 runs: ssh_board: no answer")
    scripted(devices["ssh"])
    scripted(devices["local"], SCRIPT="die")  # it is not asked again
    code, records, err = profile(capsys, *arguments, "--resume")
    resumed = {record["device_name"]: record for record in records}
    assert code == 0 and "not measured" not in err and resumed["local_board"] == rows["local_board"]
    assert len(resumed["ssh_board"]["wall_ms"]) == 30 and resumed["ssh_board"]["cut_short"] is None


def test_a_device_that_fails_costs_its_own_rows(exported_run, devices, capsys):
    devices["adb"].kill()
    paths = scripted(devices["ssh"], SCRIPT="segfault"), scripted(devices["adb"]), scripted(devices["local"])
    chosen = [word for path in paths for word in ("--device", path)]
    code, records, err = profile(capsys, exported_run.path, *chosen, *SHORT, "--threads", "1,2")
    assert code == 0 and [record["device_name"] for record in records] == ["local_board"] * 2
    lines = [line for line in err.splitlines() if line.startswith("not measured")]
    assert len(lines) == 2 and all("threads 1,2" in line for line in lines)
    assert "on ssh_board: ssh_board: the runner died of signal 11 (SIGSEGV) in 'measure'" in lines[0]
    assert "on adb_board: adb_board: cannot be reached" in lines[1]


def test_rows_are_written_before_the_others_are_measured(exported_run, devices, capsys, monkeypatch):
    seen, measure = [], row_measurement.interleave

    def look_and_measure(*arguments, **options):
        seen.append([path.name for path in exported_run.profile_paths()])
        return measure(*arguments, **options)

    monkeypatch.setattr(row_measurement, "interleave", look_and_measure)
    monkeypatch.setattr(row_measurement, "MOST_ROWS", 1)
    code, records, _ = profile(
        capsys, exported_run.path, "--device", scripted(devices["local"]), *SHORT, "--threads", "1,2")
    assert code == 0 and len(records) == 2 and seen == [[], ["onnxruntime-t1-b1@local_board.json"]]


SAME = {"warmup": 10, "interval_goal": None}


@pytest.mark.parametrize("changes, settings, finished", [
    ({}, {}, True),
    ({"wall_ms": (1.0,) * 40}, {}, True),
    ({}, {"repeats": 21}, False),
    ({}, {"batch_size": 2}, False),
    ({}, {"warmup": 3}, False),
    ({}, {"time_limit_s": 60}, False),
    ({"interval_goal": 0.02}, {"time_limit_s": 60}, True),
    ({"interval_goal": 0.05}, {"time_limit_s": 60}, False),
    ({"sha256": "0" * 64}, {}, False),
    ({"threads": 2}, {}, False),
    ({"runtime": "mnn"}, {}, False),
    ({"device_name": "pi"}, {}, False),
    ({"cut_short": "the device was lost"}, {}, False),
])
def test_what_counts_as_measured_before(changes, settings, finished, exported_run, make_profile):
    artifact = exported_artifact(exported_run, "onnx")
    earlier = make_profile(**{"sha256": artifact.sha256, **SAME, **changes})
    earlier.save(exported_run.profiles_path / earlier.file_name)
    row = HERE.make_row("onnxruntime", 1, artifact)
    wanted = {"repeats": 20, "time_limit_s": 0, **settings}
    take_finished([row], exported_run.profile_paths(), ProfileConfig(**wanted))
    assert row.finished == (earlier if finished else None)


@pytest.mark.parametrize("arguments, words", [
    (["--device", "none.yaml"], "none.yaml: cannot be read"),
    (["--device", "{a}", "--device", "{a}"], "are both called 'board'"),
])
def test_wrong_devices_are_one_line(arguments, words, exported_run, tmp_path, capsys):
    (tmp_path / "board.yaml").write_text("transport: local")
    code = main(["profile", str(exported_run.path), *(word.format(a=tmp_path / "board.yaml") for word in arguments)])
    err = capsys.readouterr().err
    assert code == 2 and words in err and err.strip().count("\n") == 0


def test_a_runtime_that_the_yaml_does_not_list_is_a_failed_row(exported_run, tmp_path, capsys):
    (tmp_path / "board.yaml").write_text("transport: local\nruntimes: [mnn]")
    chosen = ["--device", str(tmp_path / "board.yaml"), "--runtime", "onnxruntime"]
    code = main(["profile", str(exported_run.path), *chosen])
    assert code == 2 and "the device's YAML has the runtimes mnn" in capsys.readouterr().err


def test_a_single_file_is_measured_on_a_device_but_not_resumed(onnx_path, devices, capsys):
    path = scripted(devices["local"])
    code, [record], _ = profile(capsys, onnx_path, "--device", path, *SHORT)
    assert code == 0 and record["device_name"] == "local_board" and "no parity" in record["notes"][0]
    assert main(["profile", str(onnx_path), "--resume"]) == 2
    assert "--resume needs a run folder" in capsys.readouterr().err
