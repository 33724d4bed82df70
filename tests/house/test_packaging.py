"""What is installed is what lies on the disk, under one name each."""

import configparser
import importlib
import subprocess
import sys
import time

import pytest
from test_source_rules import ROOT, SOURCES

from msnoah.config_file import dump_config, load_config

DEVICES = sorted((ROOT / "configs" / "devices").glob("*.yaml"))   # tests/deploy/test_device_config.py reads them
CONFIGS = sorted({*(ROOT / "configs").rglob("*.yaml")} - {*DEVICES})


def test_packages_list_equals_the_folders():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    on_disk = {name for name, path in SOURCES.items() if path.name == "__init__.py"}
    assert listed == on_disk


@pytest.mark.parametrize("name", ["export", "deploy"])
def test_only_one_name_imports_a_room(name):
    importlib.import_module(f"msnoah.{name}")
    answer = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 1
    assert f"import 'msnoah.{name}', not '{name}'" in answer.stderr


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_loads_and_survives_a_round_trip(path, tmp_path):
    config = load_config(path)
    copy = tmp_path / path.name
    copy.write_text(dump_config(config), encoding="utf-8")
    assert load_config(copy) == config
    assert path.read_text(encoding="utf-8").startswith("# "), "the first comment says what, expected result, cost, command"


def test_help_answers_in_half_a_second():
    """CPU time, which other jobs of the machine do not stretch; best of three, since the first reads from the disk."""
    assert min(_help_seconds() for _ in range(3)) < 0.5


def test_importing_msnoah_leaves_mindspore_alone():
    code = "import msnoah, msnoah.cli, msnoah.deploy, msnoah.export, sys; print('mindspore' in sys.modules, 'numpy' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]


def _help_seconds() -> float:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "msnoah", "--help"], cwd=ROOT, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return min(cpu, time.perf_counter() - started)
