"""The parent's end of a worker: starts the process, asks, and turns a crash into an error line."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np

import msnoah
from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.calibration import Peaks
from msnoah.deploy.device import Device
from msnoah.deploy.measurement import Samples, make_feeds
from msnoah.deploy.process_ending import describe_ending, last_words
from msnoah.deploy.raw_arrays import read_arrays, write_arrays
from msnoah.deploy.runtimes.base import OperatorTime
from msnoah.deploy.telemetry import Telemetry
from msnoah.errors import MsnoahError, ProfileError

ANSWER_LIMIT_S = 1800.0  # one load or one round of runs; a worker that needs longer hangs
PACKAGE_ROOT = str(Path(msnoah.__file__).resolve().parents[1])


WORKER = (sys.executable, "-m", "msnoah.deploy.worker")


class WorkerProcess:
    """A candidate in its own process; every method raises ProfileError when the process fails, hangs or dies.

    `command` starts it; it answers as msnoah.deploy.worker does.
    """

    def __init__(self, command: Sequence[str] = WORKER, limit_s: float = ANSWER_LIMIT_S):
        self.limit_s, self.expired = limit_s, False
        self.folder = tempfile.TemporaryDirectory()  # runtimes litter their working directory
        self.log_path = Path(self.folder.name) / "stderr"
        paths = os.pathsep.join(filter(None, [PACKAGE_ROOT, os.environ.get("PYTHONPATH")]))
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=self.folder.name,
                env={**os.environ, "PYTHONPATH": paths}, text=True, encoding="utf-8", errors="replace",
            )

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        self._end_input()
        self.process.stdout.close()
        self.folder.cleanup()

    def start(self, runtime: str, artifact: Artifact, threads: int, batch_size: int) -> dict[str, Any]:
        """Converts and loads an artifact and runs it once on seeded inputs: what `load` gives, and first_run_ms."""
        loaded = self.load(runtime, self.convert(runtime, artifact, batch_size), threads, batch_size)
        feeds = make_feeds(list(map(TensorSpec.from_record, loaded["inputs"])), batch_size)
        return {**loaded, "first_run_ms": self.feed(feeds)}

    def convert(self, runtime: str, artifact: Artifact, batch_size: int) -> Artifact:
        """What the runtime loads in place of an artifact; it may lie in this process's folder, and goes with it."""
        located = replace(artifact, path=artifact.path.resolve())
        answer = self.ask("convert", runtime=runtime, artifact=located.to_record(), batch_size=batch_size)
        return Artifact.from_record(answer["artifact"])

    def load(self, runtime: str, converted: Artifact, threads: int, batch_size: int) -> dict[str, Any]:
        """version, inputs and load_ms of what `convert` gave."""
        return self.ask("load", runtime=runtime, artifact=converted.to_record(), threads=threads, batch_size=batch_size)

    def feed(self, feeds: Sequence[np.ndarray]) -> float:
        """Sets the inputs that are measured; gives the milliseconds of the first run."""
        path = Path(self.folder.name) / "inputs"
        write_arrays(path, feeds)
        return self.ask("feed", path=str(path))["first_run_ms"]

    def import_package(self, runtime: str, package: str) -> str:
        """The version of a package that a runtime needs, once it has been imported in the process."""
        return self.ask("import_package", runtime=runtime, package=package)["version"]

    def measure(self, repeats: int) -> Samples:
        """A round of runs."""
        return Samples(**self.ask("measure", repeats=repeats))

    def peak_memory_mb(self) -> float | None:
        """Peak resident set of the process so far, in MiB."""
        return self.ask("peak_memory")["mb"]

    def outputs(self) -> list[np.ndarray]:
        """The outputs on the measured input."""
        path = Path(self.folder.name) / "outputs"
        layouts = self.ask("outputs", path=str(path))["outputs"]
        return read_arrays(path, [(layout["dtype"], tuple(layout["shape"])) for layout in layouts])

    def operators(self, runs: int) -> list[OperatorTime]:
        """Times of nodes in running order, or of kinds of operators."""
        rows = self.ask("operators", runs=runs)["rows"]
        return [OperatorTime(**{**row, "sources": tuple(row.get("sources", ()))}) for row in rows]

    def peaks(self, threads: int) -> Peaks:
        """Measures what the cores and memory of the process's machine can do, in a few seconds."""
        return Peaks.from_record(self.ask("peaks", threads=threads))

    def device(self) -> Device:
        """What the machine of the process says of itself."""
        return Device(**self.ask("device"))

    def telemetry(self) -> Telemetry:
        """Temperature, clock and energy counter of the process's machine at this moment."""
        return Telemetry.from_record(self.ask("telemetry"))

    def energy_j(self, runs: int) -> float | None:
        """Joules of the whole board for `runs` runs; None where it has neither counter nor sensor."""
        return self.ask("energy", runs=runs)["joules"]

    def ask(self, do: str, **arguments) -> dict[str, Any]:
        """Sends one request and waits for its answer, at most `limit_s` seconds."""
        guard = Timer(self.limit_s, self._expire)
        guard.start()
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:  # a broken pipe: the process is gone
            line = ""
        finally:
            guard.cancel()
        if not line:
            raise self.explain_death(do)
        answer = _read_answer(line, do)
        if "error" in answer:
            raise ProfileError(answer["error"])
        return answer

    def explain_death(self, do: str) -> MsnoahError:
        """What became of the process, which ended instead of answering."""
        return ProfileError(f"the measuring process {self._ending()} in '{do}'{last_words(self.log_path)}")

    def _end_input(self) -> None:
        try:
            self.process.stdin.close()
        except OSError:  # a request that a dead process never took
            pass

    def _expire(self) -> None:
        self.expired = True
        self.process.kill()

    def _ending(self) -> str:
        code = self.process.wait()
        if self.expired:
            return f"was ended: no answer within {self.limit_s:g} s"
        if -code == getattr(signal, "SIGKILL", None):
            return "was killed (out of memory, if nobody else did it)"
        return describe_ending(code)


def _read_answer(line: str, do: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except json.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise ProfileError(f"the measuring process answered '{do}' with {line.strip()[:80]!r}; expected a JSON object")
    return answer
