"""The worker that a runtime needs: this Python's, or the runtime's own in a side environment."""

import shutil
from dataclasses import replace
from pathlib import Path

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.device import Device, read_device
from msnoah.deploy.energy import measure_energy
from msnoah.deploy.runtimes.base import RunsElsewhere
from msnoah.deploy.runtimes.table import find_runtime
from msnoah.deploy.telemetry import Telemetry, read_telemetry
from msnoah.deploy.worker_process import WorkerProcess


class SideWorker(WorkerProcess):
    """A measuring process in another environment of this machine, which measures and does no more.

    A process of this Python converts, and this process reads the machine.
    """

    def convert(self, runtime: str, artifact: Artifact, batch_size: int) -> Artifact:
        """What the runtime loads in place of an artifact; without a run it lies in this process's folder."""
        with WorkerProcess() as host:
            converted = host.convert(runtime, artifact, batch_size)
            if Path(host.folder.name).resolve() not in converted.path.resolve().parents:
                return converted
            target = Path(self.folder.name) / "converted"
            shutil.copytree(converted.path, target)
        return replace(converted, path=target)

    def device(self) -> Device:
        """This machine."""
        return read_device()

    def telemetry(self) -> Telemetry:
        """Temperature, clock and energy counter of this machine at this moment."""
        return read_telemetry()

    def energy_j(self, runs: int) -> float | None:
        """Joules of the whole board for `runs` runs; None where it has neither counter nor sensor."""
        return measure_energy(lambda: self.measure(runs - 1), 1)   # which begins with one more


def open_worker(runtime: str) -> WorkerProcess:
    """A process in which a runtime can be measured.

    Raises:
        RuntimeUnavailableError: an unknown runtime, or one whose side environment is not there.
    """
    found = find_runtime(runtime)
    return SideWorker(found.worker_command()) if isinstance(found, RunsElsewhere) else WorkerProcess()
