"""Every collection names the same tests: pytest-xdist runs nothing where two workers disagree, and a failure could not be named again."""

import os
import subprocess
import sys

from test_source_rules import ROOT


def test_names_depend_on_neither_clock_nor_hash_seed(request):
    # The clock has moved since this process collected; the seed of the other one is set to differ.
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-m", "slow or not slow", "-p", "no:xdist", "tests"]
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed})
    collected = set(answer.stdout.splitlines())
    assert len(collected) > 5000, answer.stdout[-2000:] + answer.stderr[-2000:]
    assert [item.nodeid for item in request.session.items if item.nodeid not in collected] == []
