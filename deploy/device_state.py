"""Whether devices answer, and what they are: for `msnoah devices`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from msnoah.deploy.device import Device
from msnoah.deploy.device_config import DeviceConfig, load_device
from msnoah.deploy.remote_device import RemoteDevice
from msnoah.deploy.remote_store import free_mb
from msnoah.deploy.remote_worker import RemoteWorker
from msnoah.deploy.runtimes.base import RunsElsewhere
from msnoah.deploy.runtimes.table import RUNTIMES, find_runtime
from msnoah.errors import MsnoahError
from msnoah.text_table import align_table

HEADING = ("device", "transport", "chip", "cores", "memory MiB", "free MiB", "governor", "temperature C")
NATIVE = "native runner"
IN_PYTHON = [name for name, runtime in RUNTIMES.items() if not isinstance(runtime, RunsElsewhere)]
"""The runtimes that the Python runner may have: side environments are of this machine alone."""


class DeviceState(BaseModel):
    """A device: what it says of itself, the version of each runtime there or why there is none, or why it is silent."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    transport: str | None = None
    device: Device | None = None
    free_mb: float | None = None
    runtimes: dict[str, str] = {}  # what was found, by runtime: a version, or NATIVE
    missing: dict[str, str] = {}  # why not, by runtime
    problem: str | None = None


def check_devices(paths: Sequence[Path]) -> list[DeviceState]:
    """The states of the devices of some YAML files, all asked at the same time."""
    with ThreadPoolExecutor(max(1, len(paths))) as pool:
        return list(pool.map(check_device, paths))


def check_device(path: Path) -> DeviceState:
    """The state of one device; what is wrong with it, or with its YAML, is a problem in words."""
    state = {"name": path.stem, "path": str(path)}
    try:
        config = load_device(path)
        state["transport"] = config.transport
        return DeviceState(**state, **_ask(config))
    except MsnoahError as error:
        return DeviceState(**state, problem=str(error))


def _ask(config: DeviceConfig) -> dict:
    remote, facts = RemoteDevice(config), {"device": None, "runtimes": {}, "missing": {}}
    for name in config.runtimes or config.native or IN_PYTHON:
        try:
            with RemoteWorker(remote, name) as worker:
                facts["device"] = facts["device"] or worker.device()
                facts["runtimes"][name] = _version(config, worker, name)
        except MsnoahError as error:
            if not remote.root:  # it was never reached: no other runtime will be
                raise
            facts["missing"][name] = str(error).removeprefix(f"{remote.name}: ")
    return {**facts, "free_mb": free_mb(remote)}


def _version(config: DeviceConfig, worker: RemoteWorker, runtime: str) -> str:
    if runtime in config.native:
        return NATIVE
    return worker.import_package(runtime, find_runtime(runtime).requirements[0].package)


def device_table(states: Sequence[DeviceState]) -> str:
    """A line for each device with its runtimes, then what is missing and what is wrong."""
    answering = [state for state in states if state.device is not None]
    runtimes = [", ".join(map(" ".join, state.runtimes.items())) or "none" for state in answering]
    rows = align_table([HEADING, *map(_facts, answering)]) if answering else []
    lines = [f"{row}  {found}" for row, found in zip(rows, ["runtimes", *runtimes])]
    notes = [f"{state.name}: {name}: {words}" for state in states for name, words in state.missing.items()]
    problems = [state.problem for state in states if state.problem]
    return "\n".join([*lines, *notes, *problems])


def _facts(state: DeviceState) -> list[str]:
    device = state.device
    figures = (device.cores, device.memory_mb, state.free_mb, device.governor, device.temperature_c)
    texts = ["-" if value is None else f"{value:.0f}" if isinstance(value, float) else str(value) for value in figures]
    return [state.name, state.transport, device.chip or "-", *texts]
