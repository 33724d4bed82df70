"""Facts of a machine, from a scripted proc and sys."""

import pytest

from msnoah.deploy.device import read_device


def _write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine_can_be_read():
    device = read_device()
    assert device.cores >= 1 and device.architecture and device.same_machine(read_device())


def test_what_cannot_be_read_is_none(tmp_path):
    device = read_device(tmp_path)
    assert (device.governor, device.frequency_mhz, device.memory_mb, device.temperature_c) == (None,) * 4


def test_what_is_there_is_read(tmp_path):
    cpu = "sys__devices__system__cpu__cpu0__cpufreq__scaling_"
    device = read_device(_write(
        tmp_path, proc__cpuinfo="processor : 0\nHardware\t: Kirin 990\n", proc__meminfo="MemTotal:  2048000 kB\n",
        sys__class__thermal__thermal_zone0__temp="41000\n", sys__class__thermal__thermal_zone1__temp="not a number",
        **{cpu + "governor": "schedutil\n", cpu + "cur_freq": "1860000\n"},
    ))
    assert (device.chip, device.memory_mb, device.temperature_c) == ("Kirin 990", 2000.0, 41.0)
    assert (device.governor, device.frequency_mhz) == ("schedutil", 1860.0)


@pytest.mark.parametrize("change", [{"chip": "another"}, {"cores": 8}, {"architecture": "aarch64"}])
def test_machines_are_told_apart(make_device, change):
    assert not make_device().same_machine(make_device(**change))
