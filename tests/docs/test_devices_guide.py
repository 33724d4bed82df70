"""docs/devices.md is true: its YAML loads, and its table has every key."""

import re
from pathlib import Path

import pytest

from msnoah.deploy.device_config import Adb, DeviceConfig, Limits, Native, Ssh, load_device

GUIDE = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.partition("\n")[0])
def test_every_yaml_loads(text, tmp_path):
    path = tmp_path / "device.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_device(path).runtimes


def test_the_table_has_every_key():
    section = GUIDE.partition("## The YAML")[2].partition("\n## ")[0]
    keys = {key for model in (DeviceConfig, Limits, Ssh, Adb, Native) for key in model.model_fields}
    assert [key for key in sorted(keys) if f"`{key}`" not in section] == []


def test_the_limits_are_those_of_the_table():
    limits = ", ".join(f"{value:g}" for value in Limits().model_dump().values())
    assert f"| {limits} |" in GUIDE
