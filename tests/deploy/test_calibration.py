"""Peaks: from scripted rates, and once from this machine."""

import json
import math
import os
import subprocess
import sys

import pytest

from msnoah.deploy import calibration
from msnoah.deploy.calibration import Bandwidth, Peaks, measure_peaks, memory_working_set
from msnoah.deploy.runner_archive import write_runner
from msnoah.deploy.worker import Worker


def test_rates_of_processes_add_up_and_the_faster_kernel_counts(monkeypatch):
    rates = {"multiply": 1e9, "infer": 3e9, "add": 2e9, "dot": 1e9}
    turns = iter([1.0] * 1000)

    class Helper:
        def __init__(self, size_bytes):
            self.size_bytes = size_bytes

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def ask(self, kind, size, seconds):
            self.rate = rates[kind] * next(turns)

        def answer(self):
            return self.rate

    monkeypatch.setattr(calibration, "_Helper", Helper)
    monkeypatch.setattr(calibration, "_available_cores", lambda: 2)
    monkeypatch.setattr(calibration, "memory_working_set", lambda: 2**27)
    four = measure_peaks(4, rounds=3)
    assert (four.threads, four.cores, four.gflop_s, four.gflop_s_spread) == (4, 2, 6.0, 0.0)   # of two cores
    assert [one.gb_s for one in four.bandwidths] == [4.0] * 4
    turns = iter([1.0] * 12 + [0.5] * 12 + [1.5] * 12)   # a round of twelve kernels, in each of the one process
    one = measure_peaks(1, rounds=3)
    assert one.gflop_s == 3.0 and one.gflop_s_spread == 1.0   # median 1, from 0.5 to 1.5
    assert one.bandwidths[-1] == Bandwidth(2**27, 2.0, 1.0)


# sizes of caches, as Linux writes them: the working set that is memory's
CACHES = {"none": ([], 2**27), "small": (["32K", "1024K"], 2**26), "medium": (["48K", "32768K"], 2**27),
          "large": (["1M", "512M"], 2**28)}


@pytest.mark.parametrize("name", CACHES)
def test_memory_is_what_no_cache_holds(name, tmp_path):
    sizes, expected = CACHES[name]
    for index, size in enumerate(sizes):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert memory_working_set(tmp_path) == expected


# bytes of an operator: which of the bandwidths is its
WORKING_SETS = {0: 4.0, 100: 4.0, 101: 2.0, 1000: 2.0, 5000: 1.0, 10**9: 1.0}


@pytest.mark.parametrize("size", WORKING_SETS)
def test_a_bandwidth_is_that_of_a_working_set_no_smaller(size):
    bandwidths = (Bandwidth(100, 4.0, 0.0), Bandwidth(1000, 2.0, 0.0), Bandwidth(10000, 1.0, 0.0))
    assert Peaks(1, 1, 1.0, 0.0, bandwidths).gb_s(size) == WORKING_SETS[size]


def test_a_worker_measures_its_machine(monkeypatch):
    monkeypatch.setattr(calibration, "memory_working_set", lambda: 2**25)
    monkeypatch.setattr(calibration.measure_peaks, "__defaults__", (1, 0.01))
    peaks = Peaks.from_record(Worker().peaks(1))
    figures = [peaks.gflop_s, *(one.gb_s for one in peaks.bandwidths)]
    assert all(math.isfinite(figure) and 0.01 < figure < 1e5 for figure in figures)   # of a watch, of a rack
    assert [one.working_set_bytes for one in peaks.bandwidths] == [2**18, 2**21, 2**24, 2**25]


def test_a_process_that_dies_is_an_error_line(monkeypatch):
    monkeypatch.setattr(calibration.sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="ended with exit code 1|Broken pipe"):
        measure_peaks(1, rounds=1)


def test_the_runner_for_boards_measures_peaks_too(tmp_path):
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(write_runner(tmp_path / "runner.pyz"))]
    request = json.dumps({"do": "peaks", "threads": 1}) + "\n"
    answer = subprocess.run(
        command, input=request, capture_output=True, text=True, env=alone, cwd=tmp_path, timeout=120)
    assert Peaks.from_record(json.loads(answer.stdout)).gflop_s > 0, answer.stderr
