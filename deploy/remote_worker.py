"""A worker on a device: converted here, pushed, loaded and measured there."""

import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from msnoah.deploy.artifact import Artifact
from msnoah.deploy.artifact_file import weight_files
from msnoah.deploy.process_ending import describe_ending, last_words
from msnoah.deploy.raw_arrays import read_arrays, write_arrays
from msnoah.deploy.remote_device import RemoteDevice
from msnoah.deploy.remote_store import keep_files
from msnoah.deploy.transports.base import last_line
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import DeviceError, MsnoahError, ProfileError

ENDING_S = 2.0  # in which a runner ends by itself when its input does


class RemoteWorker(WorkerProcess):
    """A candidate in a process on a device; as a local one, but its files travel.

    Raises:
        DeviceError: the device is not reached, or the runner cannot be put there.
    """

    def __init__(self, device: RemoteDevice, runtime: str):
        self.remote, self.conversion = device, ExitStack()
        self.session = device.open_session(runtime)
        super().__init__(self.session.command, device.config.limits.answer_s)

    def __exit__(self, *exception) -> None:
        self.conversion.close()
        self._let_end()
        super().__exit__(*exception)
        self.remote.close_session(self.session)

    def convert(self, runtime: str, artifact: Artifact, batch_size: int) -> Artifact:
        """Converts on this machine; what was made may lie in that process's folder, which stays until it is pushed."""
        converter = self.conversion.enter_context(WorkerProcess())
        return converter.convert(runtime, artifact, batch_size)

    def load(self, runtime: str, converted: Artifact, threads: int, batch_size: int) -> dict[str, Any]:
        """Puts the artifact on the device, unless it is there already, and loads it."""
        folder = PurePosixPath(keep_files(self.remote, "artifacts", artifact_files(converted)))
        path = folder if converted.path.is_dir() else folder / converted.path.name
        self.conversion.close()
        return super().load(runtime, replace(converted, path=path), threads, batch_size)

    def feed(self, feeds: Sequence[np.ndarray]) -> float:
        """Sends the inputs that are measured; gives the milliseconds of the first run."""
        here, there = Path(self.folder.name) / "inputs", f"{self.session.folder}/inputs"
        write_arrays(here, feeds)
        self.remote.push(here, there)
        return self.ask("feed", path=there)["first_run_ms"]

    def outputs(self) -> list[np.ndarray]:
        """Fetches the outputs on the measured input."""
        here, there = Path(self.folder.name) / "outputs", f"{self.session.folder}/outputs"
        layouts = self.ask("outputs", path=there)["outputs"]
        self.remote.pull(there, here)
        return read_arrays(here, [(layout["dtype"], tuple(layout["shape"])) for layout in layouts])

    def explain_death(self, do: str) -> MsnoahError:
        """Tells a runner that died from one that hangs and from a connection that broke: DeviceError for these two."""
        code, name = self.process.wait(), self.remote.name
        words = last_line(self.log_path.read_text(encoding="utf-8", errors="replace"))
        if self.expired:
            return DeviceError(
                f"{name}: no answer to '{do}' within {self.limit_s:g} s (limits.answer_s); the runner was ended")
        if self.remote.transport.is_lost(code, words):
            said = f" ({words})" if words else ""
            loss = self.remote.describe_loss(self.session)
            return DeviceError(f"{name}: the connection broke in '{do}'{said}; {loss}")
        ending = describe_ending(_own_code(code))
        return ProfileError(f"{name}: the runner {ending} in '{do}'{last_words(self.log_path)}")

    def _let_end(self) -> None:
        """Gives the runner the time to end by itself, which it does at the end of its input."""
        self._end_input()
        try:
            self.process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            pass


def _own_code(code: int) -> int:
    """A shell's 128 + signal as subprocess gives it: -signal."""
    return 128 - code if code - 128 in set(signal.Signals) else code


def artifact_files(artifact: Artifact) -> dict[str, Path]:
    """What a converted artifact consists of, by the path in its folder: all of a folder, or a file and its weights.

    Raises:
        DeviceError: weights lie outside of the artifact's folder.
    """
    path = artifact.path
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}
    names = weight_files(path) if artifact.kind == "onnx" else []
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise DeviceError(f"{path}: weights in '{name}' lie outside of its folder; expected a file beside it")
    return {path.name: path, **{name: path.parent / name for name in names}}
