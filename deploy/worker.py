"""The process that one candidate runs in: `python -m msnoah.deploy.worker` answers JSON lines with JSON lines.

Its own process gives each runtime its own threads and its own peak memory, and a crash costs one row, not the command.
A request is `{"do": method of Worker, ...arguments}`. Runners on boards and in other environments answer the same.
"""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.calibration import measure_peaks
from msnoah.deploy.device import read_device
from msnoah.deploy.energy import measure_energy
from msnoah.deploy.measurement import feed_shape, time_runs
from msnoah.deploy.raw_arrays import read_arrays, write_arrays
from msnoah.deploy.reference_work import time_reference
from msnoah.deploy.runtimes.table import find_runtime
from msnoah.deploy.telemetry import read_telemetry
from msnoah.errors import MsnoahError


class Worker:
    """One loaded session and the requests that it answers; each method returns what json can write."""

    def convert(self, runtime: str, artifact: dict[str, Any], batch_size: int) -> dict[str, Any]:
        """Turns an artifact into what `load` takes; files without a run go into this process's folder."""
        converted = find_runtime(runtime).convert(Artifact.from_record(artifact), batch_size)
        return {"artifact": converted.to_record()}

    def load(self, runtime: str, artifact: dict[str, Any], threads: int, batch_size: int) -> dict[str, Any]:
        """Loads what `convert` gave: a part of a cold start, in milliseconds, without the runtime's import."""
        found = find_runtime(runtime)
        found.prepare(threads)
        version = found.version()
        start = time.perf_counter()
        self.session, self.batch_size = found.load(Artifact.from_record(artifact), threads), batch_size
        load_ms = (time.perf_counter() - start) * 1e3
        return {"version": version, "inputs": list(map(asdict, self.session.inputs)), "load_ms": load_ms}

    def feed(self, path: str) -> dict[str, Any]:
        """Takes the inputs from a file of raw arrays and runs once, which is the rest of a cold start."""
        layouts = [(spec.dtype, feed_shape(spec, self.batch_size)) for spec in self.session.inputs]
        self.feeds = read_arrays(Path(path), layouts)
        start = time.perf_counter()
        self.session.run(self.feeds)
        return {"first_run_ms": (time.perf_counter() - start) * 1e3}

    def measure(self, repeats: int) -> dict[str, Any]:
        """Runs once unrecorded, then times `repeats` runs, and the reference work before and after all of them."""
        before = time_reference()
        self.session.run(self.feeds)
        samples = time_runs(lambda: self.session.run(self.feeds), repeats)
        return {"wall_ms": samples.wall_ms, "cpu_ms": samples.cpu_ms, "reference_ms": [before, time_reference()]}

    def outputs(self, path: str) -> dict[str, Any]:
        """Writes the outputs on the measured input into a file of raw arrays; gives their types and shapes."""
        outputs = self.session.run(self.feeds)
        write_arrays(Path(path), outputs)
        return {"outputs": [{"dtype": output.dtype.name, "shape": list(output.shape)} for output in outputs]}

    def operators(self, runs: int) -> dict[str, Any]:
        """Times of nodes, or of kinds of operators, from the runtime's own profiler."""
        return {"rows": [asdict(row) for row in self.session.operators(self.feeds, runs)]}

    def peaks(self, threads: int) -> dict[str, Any]:
        """What this machine's cores and memory can do, measured: fields of msnoah.deploy.calibration's Peaks."""
        return asdict(measure_peaks(threads))

    def peak_memory(self) -> dict[str, Any]:
        """Peak resident set of this process so far, in MiB."""
        return {"mb": read_peak_memory_mb()}

    def device(self) -> dict[str, Any]:
        """What the machine of this process says of itself."""
        return asdict(read_device())

    def telemetry(self) -> dict[str, Any]:
        """Temperature, clock and energy counter of the machine at this moment."""
        return asdict(read_telemetry())

    def energy(self, runs: int) -> dict[str, Any]:
        """Joules of the whole board for `runs` runs, by the counter or sensor that it has; null where it has none."""
        return {"joules": measure_energy(lambda: self.session.run(self.feeds), runs)}

    def import_package(self, runtime: str, package: str) -> dict[str, Any]:
        """Imports what a runtime needs of a package, and gives its version."""
        needed = {requirement.package: requirement for requirement in find_runtime(runtime).requirements}
        return {"version": needed[package].version()}


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
