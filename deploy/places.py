"""Where rows are measured: this machine, or a device of a YAML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.device_config import DeviceConfig
from msnoah.deploy.profile import LOCAL
from msnoah.deploy.remote_device import RemoteDevice
from msnoah.deploy.remote_worker import RemoteWorker
from msnoah.deploy.rows import Row
from msnoah.deploy.side_worker import open_worker
from msnoah.deploy.worker_process import WorkerProcess


@dataclass(frozen=True)
class Place:
    """A place by its name.

    Attributes:
        name: the device_name of what is measured there.
        open_worker: makes the process there that measures in a runtime.
        is_remote: whether artifacts and outputs travel.
        runtimes: those that it has; None if nobody said.
        only: whether `runtimes` alone say what is measured there, since none was asked for by name.
    """

    name: str
    open_worker: Callable[[str], WorkerProcess]
    is_remote: bool
    runtimes: tuple[str, ...] | None = None
    only: bool = False

    def choose(self, asked: Sequence[str]) -> list[str]:
        """The runtimes that are measured here, of those that were asked for."""
        return list(self.runtimes if self.only and self.runtimes else asked)

    def make_row(self, runtime: str, threads: int, artifact: Artifact | None, precision: str = "fp32") -> Row:
        """A row to be measured here; one that this place has no runtime for says so."""
        row = Row(runtime, threads, artifact, precision, self.name, partial(self.open_worker, runtime))
        if self.runtimes is not None and runtime not in self.runtimes:
            row.error = f"the device's YAML has the runtimes {', '.join(self.runtimes)}"
        return row


HERE = Place(LOCAL, open_worker, is_remote=False)


def device_place(config: DeviceConfig, *, only: bool) -> Place:
    """The device of a YAML; `only`: measure the runtimes that the YAML lists, whatever others are asked for."""
    return Place(config.name, partial(RemoteWorker, RemoteDevice(config)), True, config.runtimes, only)
