#!/usr/bin/env python3
"""A runner for tests: speaks the worker's protocol, computes nothing, and fails in a 'measure' as SCRIPT says.

In the first one, or in that of the number that FAILS_AT is, counted from 1.
"""

import json
import os
import pathlib
import signal
import sys
import time

FAILURES = {
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "die": lambda: sys.exit("no memory left"),
    "hang": lambda: time.sleep(600),
    "babble": lambda: print("Welcome!", flush=True),
    "refuse": lambda: {"error": "the scripted runner refuses"},
}
SPEC = {"name": "x", "shape": [None, 2], "dtype": "float32"}


calls = []


def measure(repeats):
    pathlib.Path("measuring").touch()
    calls.append(repeats)
    fails = "SCRIPT" in os.environ and len(calls) >= int(os.environ.get("FAILS_AT", "1"))
    answer = FAILURES[os.environ["SCRIPT"]]() if fails else None
    return answer or {"wall_ms": [1.0] * repeats, "cpu_ms": [1.0] * repeats}


def outputs(path):
    """The inputs as they came."""
    pathlib.Path(path).write_bytes(pathlib.Path("inputs").read_bytes())
    return {"outputs": [{"dtype": "float32", "shape": [1, 2]}]}


def load(artifact, **others):
    return {"version": pathlib.Path(artifact["path"]).name, "inputs": [SPEC], "load_ms": 1.0}


ANSWERS = {
    "load": load,
    "feed": lambda path: {"first_run_ms": float(pathlib.Path(path).stat().st_size)},
    "measure": measure,
    "outputs": outputs,
    "peak_memory": lambda: {"mb": 1.0},
    "telemetry": lambda: {"temperature_c": 41.0},
    "operators": lambda runs: {"rows": []},
    "device": lambda: {
        "chip": "Scripted chip", "architecture": "none", "system": "Test 1", "cores": 4, "governor": None,
        "frequency_mhz": None, "load_average": 0.0, "memory_mb": 512.0, "temperature_c": 40.0},
}

for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(ANSWERS[request.pop("do")](**request)), flush=True)
