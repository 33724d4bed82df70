"""Temperature, clock and energy, from scripted trees of sysfs."""

import itertools

import pytest

from msnoah.deploy import energy
from msnoah.deploy.energy import measure_energy
from msnoah.deploy.telemetry import Telemetry, read_energy_j, read_power_w, read_telemetry

TREES = {
    "nothing": ({}, None, None),
    "two packages, their parts and the platform": ({
        "sys/class/powercap/intel-rapl:0/name": "package-0", "sys/class/powercap/intel-rapl:0/energy_uj": "2500000",
        "sys/class/powercap/intel-rapl:1/name": "package-1", "sys/class/powercap/intel-rapl:1/energy_uj": "1500000",
        "sys/class/powercap/intel-rapl:0:0/name": "core", "sys/class/powercap/intel-rapl:0:0/energy_uj": "900000",
        "sys/class/powercap/intel-rapl:2/name": "psys", "sys/class/powercap/intel-rapl:2/energy_uj": "9000000",
    }, 4.0, None),
    "an energy counter of hwmon": ({"sys/class/hwmon/hwmon0/energy1_input": "750000"}, 0.75, None),
    "RAPL counts what hwmon shows again": ({
        "sys/class/powercap/intel-rapl:0/energy_uj": "1000000", "sys/class/hwmon/hwmon0/energy1_input": "750000",
    }, 1.0, None),
    "an INA3221 whose first rail feeds the others": ({
        "sys/class/hwmon/hwmon3/power1_input": "5200000", "sys/class/hwmon/hwmon3/power2_input": "1200000",
    }, None, 5.2),
    "an INA226 of iio": ({"sys/bus/iio/devices/iio:device0/in_power2_input": "4100.5"}, None, 4.1005),
    "damaged": ({"sys/class/powercap/intel-rapl:0/energy_uj": "many", "sys/class/hwmon/hwmon0/power1_input": ""}, None,
                None),
}


def plant(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.mark.parametrize("files, joules, watts", TREES.values(), ids=TREES)
def test_energy_and_power(files, joules, watts, tmp_path):
    plant(tmp_path, files)
    assert (read_energy_j(tmp_path), read_power_w(tmp_path)) == (joules, watts)


def test_all_readings(tmp_path):
    plant(tmp_path, {
        "sys/class/thermal/thermal_zone0/temp": "61500", "sys/class/hwmon/hwmon0/energy1_input": "2000000",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1800000",
    })
    assert read_telemetry(tmp_path) == Telemetry(61.5, 1800.0, 2.0, None)


def test_a_worker_that_knows_less_gives_none_and_more_is_ignored():
    assert Telemetry.from_record({"temperature_c": 40.0, "fan": 3}) == Telemetry(temperature_c=40.0)


@pytest.mark.parametrize("after, joules", [("3500000", 2.5), ("1000000", None), ("900000", None)])
def test_a_counter_is_read_before_and_after(after, joules, tmp_path):
    """One that stands still, or wraps, says nothing."""
    counter = plant(tmp_path, {"sys/class/hwmon/hwmon0/energy1_input": "1000000"}) / "sys/class/hwmon/hwmon0/energy1_input"
    runs = []

    def run():
        runs.append(None)
        counter.write_text(after)

    assert measure_energy(run, 3, tmp_path) == joules and len(runs) == 3


def test_a_sensor_is_integrated_over_the_runs(tmp_path, monkeypatch):
    """A constant 5 W over the time that the runs take by a scripted clock, a second between readings."""
    plant(tmp_path, {"sys/class/hwmon/hwmon0/power1_input": "5000000"})
    ticks = itertools.count(10.0)
    read = []
    monkeypatch.setattr(energy, "SAMPLING_S", 0.001)
    monkeypatch.setattr(energy.time, "perf_counter", lambda: read.append(next(ticks)) or read[-1])
    joules = measure_energy(lambda: energy.threading.Event().wait(0.01), 3, tmp_path)
    assert joules == pytest.approx(5.0 * (read[-1] - read[0])) and len(read) >= 2


def test_no_energy_without_a_counter(tmp_path):
    assert measure_energy(lambda: pytest.fail("runs for nothing"), 3, tmp_path) is None
