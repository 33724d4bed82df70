"""Rows measured by scripted workers, on this machine and on others: what is kept when something is missing or dies."""

from pathlib import Path

import numpy as np
import pytest

from msnoah.config import ProfileConfig
from msnoah.deploy import row_measurement
from msnoah.deploy.artifact import Artifact
from msnoah.deploy.measurement import Samples
from msnoah.deploy.profile import load_profile
from msnoah.deploy.row_measurement import profile_rows
from msnoah.deploy.rows import Row
from msnoah.deploy.telemetry import Telemetry
from msnoah.errors import ProfileError

SETTINGS = ProfileConfig(warmup=1, repeats=20, time_limit_s=0)


class FakeWorker:
    """A process that answers as told; `open` counts those that live at once."""

    living = most = 0

    def __init__(self, device, **changes):
        self.facts, self.changes = device, changes

    def __enter__(self):
        FakeWorker.living += 1
        FakeWorker.most = max(FakeWorker.most, FakeWorker.living)
        return self

    def __exit__(self, *_):
        FakeWorker.living -= 1

    def start(self, runtime, artifact, threads, batch_size):
        inputs = [{"name": "x", "shape": [None, 3], "dtype": "float32"}]
        return self._answer("start", {"version": "1", "inputs": inputs, "load_ms": 1.0, "first_run_ms": 2.0})

    def measure(self, repeats):
        return self._answer("measure", Samples([2.0] * repeats, [1.0] * repeats, [1.0, 1.0]))

    def device(self):
        return self._answer("device", self.facts() if callable(self.facts) else self.facts)

    def telemetry(self):
        return self._answer("telemetry", Telemetry(temperature_c=50.0))

    def energy_j(self, runs):
        return self._answer("energy_j", lambda: 0.004 * runs)

    def peak_memory_mb(self):
        return self._answer("peak_memory_mb", 100.0)

    def outputs(self):
        return self._answer("outputs", [np.array([1.0, 2.0])])

    def operators(self, runs):
        return self._answer("operators", [])

    def _answer(self, name, usual):
        value = self.changes.get(name, usual)
        if isinstance(value, Exception):
            raise value
        return value() if callable(value) else value


@pytest.fixture
def make_row(make_device):
    """A row whose worker is scripted; FakeWorker's counts begin anew."""
    FakeWorker.living = FakeWorker.most = 0

    def make(runtime="onnxruntime", device_name="local", precision="float32", device=None, **changes):
        artifact = Artifact(Path("model.onnx"), "onnx", "net", "ab", 1000, precision)
        return Row(runtime, 1, artifact, device_name=device_name,
                   open_worker=lambda: FakeWorker(device or make_device(), **changes))

    return make


def test_rows_of_several_devices_carry_their_own_facts(make_row, make_device):
    phone = make_device(chip="Kirin 990", memory_mb=4000.0)
    rows = [make_row(), make_row(device_name="phone", device=phone)]
    here, there = profile_rows(rows, SETTINGS)
    assert (here.device_name, here.device.chip) == ("local", "Test chip")
    assert (there.device_name, there.device.chip) == ("phone", "Kirin 990")
    assert here.key != there.key and there.file_name == "onnxruntime-t1-b1@phone.json"


def test_what_a_board_tells_is_in_the_profile(make_row, make_device, tmp_path):
    loads = iter([0.1, 1.8])
    row = make_row(
        device=lambda: make_device(load_average=next(loads)), telemetry=Telemetry(61.0, 1800.0, energy_j=12.5))
    [profile] = profile_rows([row], SETTINGS)
    assert (profile.device.load_average, profile.load_after) == (0.1, 1.8)
    assert profile.telemetry_after == Telemetry(61.0, 1800.0, 12.5) and profile.energy_j == pytest.approx(0.004)
    profile.save(tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json") == profile


@pytest.mark.parametrize("changes, note", [
    ({"telemetry": ProfileError("AttributeError: telemetry")}, "no telemetry: AttributeError"),
    ({"telemetry": Telemetry(power_w=5.0), "energy_j": ProfileError("unknown")}, "no telemetry: unknown"),
    ({"operators": ProfileError("the process died")}, "latencies only: the process died"),
])
def test_what_a_runner_does_not_answer_costs_no_more_than_that(changes, note, make_row):
    [profile] = profile_rows([make_row(**changes)], SETTINGS)
    assert any(words.startswith(note) for words in profile.notes) and profile.repeats == 20


@pytest.mark.parametrize("request_name", ["start", "device", "measure"])
def test_a_worker_that_dies_costs_its_row_only(request_name, make_row):
    rows = [make_row("mnn", **{request_name: ProfileError("was killed")}), make_row(), make_row("openvino")]
    profiles = profile_rows(rows, SETTINGS)
    assert [profile.runtime for profile in profiles] == ["onnxruntime", "openvino"]
    assert profiles.describe_failures() == ["mnn, threads 1, batch 1: was killed"]
    assert FakeWorker.living == 0


def test_a_device_that_cannot_be_reached_costs_its_rows_only(make_row):
    def unreachable():
        raise ProfileError("ssh: no route to host")

    row = make_row(device_name="board")
    row.open_worker = unreachable
    profiles = profile_rows([row, make_row()], SETTINGS)
    assert len(profiles) == 1
    assert profiles.describe_failures() == ["onnxruntime, threads 1, batch 1 on board: ssh: no route to host"]


GROUPS = [(100.0, 12, 5), (2100.0, 12, 2), (100.0, 3, 3), (None, 12, 5)]


@pytest.mark.parametrize("peak_mb, most_rows, together", GROUPS)
def test_rows_that_need_too_much_memory_are_measured_in_groups(peak_mb, most_rows, together, make_row, monkeypatch):
    """The machine has 8000 MB, of which half may be used."""
    monkeypatch.setattr(row_measurement, "MOST_ROWS", most_rows)
    profiles = profile_rows([make_row(peak_memory_mb=peak_mb) for _ in range(5)], SETTINGS)
    assert len(profiles) == 5 and FakeWorker.most == together


def test_lower_precision_is_compared_with_the_float_reference(make_row):
    """Also if the reference is measured in a later group, and never with a row of another precision."""
    rows = [
        make_row("onnxruntime", precision="int8", outputs=[np.array([1.0, 2.4])]),
        make_row("openvino", outputs=[np.array([1.0, 2.0])]), make_row("mindspore"),
    ]
    int8, same, reference = profile_rows(rows, SETTINGS)
    assert (int8.parity.against, int8.parity.max_rel) == ("mindspore float32", pytest.approx(0.2))
    assert (same.parity.against, same.parity.max_rel, reference.parity) == ("mindspore", 0.0, None)
    assert not any("differ" in words for words in int8.warnings())


def test_rows_with_an_error_are_left_alone(make_row):
    row = make_row(start=AssertionError("not to be opened"))
    row.error = "no such artifact"
    profiles = profile_rows([row, make_row("openvino")], SETTINGS)
    assert [profile.runtime for profile in profiles] == ["openvino"] and FakeWorker.most == 1


def test_sustained_runs_are_kept_in_the_profile(make_row, tmp_path, monkeypatch):
    [profile] = profile_rows([make_row()], SETTINGS, sustained_s=0.05)
    assert profile.sustained.windows and profile.sustained.windows[0].temperature_c == 50.0
    profile.save(tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json") == profile
