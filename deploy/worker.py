"""The process that one candidate runs in: `python -m msnoah.deploy.worker` answers JSON lines with JSON lines.

Its own process gives each runtime its own threads and its own peak memory, and a crash costs one row, not the command.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.measurement import make_feeds, time_runs
from msnoah.deploy.runtimes.table import find_runtime
from msnoah.errors import MsnoahError


class Worker:
    """One loaded session and the requests that it answers; each method returns what json can write."""

    def load(self, runtime: str, artifact: dict[str, Any], threads: int, batch_size: int) -> dict[str, Any]:
        """Loads an artifact and runs it once: what a cold start costs in milliseconds, less import and conversion."""
        found = find_runtime(runtime)
        found.prepare(threads)
        version = found.version()
        converted = found.convert(Artifact.model_validate(artifact), batch_size)
        start = time.perf_counter()
        self.session = found.load(converted, threads)
        loaded = time.perf_counter()
        self.feeds = make_feeds(self.session.inputs, batch_size)
        first = time.perf_counter()
        self.session.run(self.feeds)
        first_run_ms = (time.perf_counter() - first) * 1e3
        inputs = [spec.model_dump(mode="json") for spec in self.session.inputs]
        return {"version": version, "inputs": inputs, "load_ms": (loaded - start) * 1e3, "first_run_ms": first_run_ms}

    def import_package(self, runtime: str, package: str) -> dict[str, Any]:
        """Imports what a runtime needs of a package, and gives its version."""
        needed = {requirement.package: requirement for requirement in find_runtime(runtime).requirements}
        return {"version": needed[package].version()}

    def measure(self, repeats: int) -> dict[str, Any]:
        """Runs once unrecorded, then times `repeats` runs."""
        self.session.run(self.feeds)
        return vars(time_runs(lambda: self.session.run(self.feeds), repeats))

    def peak_memory(self) -> dict[str, Any]:
        """Peak resident set of this process so far, in MiB."""
        return {"mb": read_peak_memory_mb()}

    def outputs(self, path: str) -> dict[str, Any]:
        """Writes the outputs on the measured input as an .npz."""
        np.savez(path, *self.session.run(self.feeds))
        return {}

    def operators(self, runs: int) -> dict[str, Any]:
        """Times by operator type from the runtime's own profiler."""
        return {"rows": [row.model_dump() for row in self.session.operators(self.feeds, runs)]}


def read_peak_memory_mb(status: Path = Path("/proc/self/status")) -> float | None:
    """Peak resident set of this process in MiB; None where the system does not tell.

    Linux: VmHWM, since ru_maxrss of a new program starts at what its parent had. Elsewhere ru_maxrss, in bytes (macOS).
    """
    if status.is_file():
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM")), None)
        return int(line.split()[1]) / 1024 if line else None
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def answer(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Carries out one request ({"do": method, ...arguments}); an exception becomes {"error": one line}."""
    arguments = dict(request)
    try:
        return getattr(worker, arguments.pop("do"))(**arguments)
    except MsnoahError as error:
        return {"error": str(error)}
    except Exception as error:  # whatever a runtime raises must become one row's reason
        lines = str(error).strip().splitlines() or [""]
        return {"error": f"{type(error).__name__}: {lines[0]}"}


def main() -> None:
    """Answers requests from standard input until it ends, which it also does when the parent dies."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what runtimes print must not stand between the answers
    worker = Worker()
    for line in sys.stdin:
        print(json.dumps(answer(worker, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
