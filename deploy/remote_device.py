"""A device while it is used: its folder, its commands, sessions for runners, and what became of it when it is lost."""

import secrets
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from msnoah.deploy.device_config import DeviceConfig
from msnoah.deploy.remote_store import keep_files
from msnoah.deploy.runner_archive import ARCHIVE_NAME, write_runner
from msnoah.deploy.transports.base import Ending, run
from msnoah.deploy.transports.table import folder_of, make_transport
from msnoah.errors import DeviceError

PYTHONS = {"local": (sys.executable,), "ssh": ("python3",), "adb": ("python3",)}
RETRY_S = 0.5
MARKER = ".msnoah-device"
FOREIGN = 43  # an exit code of PREPARE: what lies in the folder is not msnoah's
OURS = "artifacts runners sessions incoming"
# Makes the folder, and marks it, so that `clean` never removes what others made. Prints its path, the home, and the
# number of the boot.
PREPARE = f"""mkdir -p "$1" && cd "$1" || exit 1
if [ ! -e {MARKER} ]; then
for name in {OURS}; do if [ -e "$name" ]; then echo "$name" >&2; exit {FOREIGN}; fi; done
: > {MARKER} || exit 1; fi
mkdir -p {OURS} || exit 1
pwd -P; echo "$HOME"; cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown"""
START = 'mkdir -p "$1" && cd "$1" && shift && echo $$ > pid && exec "$@"'
# Ends a runner that did not end with its input: only the process that stands in the session's folder, since its number
# may have gone to another one.
FINISH = """cd "$1" 2>/dev/null || exit 0
pid=$(cat pid 2>/dev/null) && [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(pwd -P)" ] && kill -9 "$pid"
cd .. && rm -rf "$1\""""
CLEAN = f"""cd "$1" 2>/dev/null && [ -e {MARKER} ] || exit 0
rm -rf {OURS} {MARKER} && echo cleaned
rmdir "$PWD" 2>/dev/null; exit 0"""


@dataclass(frozen=True)
class Session:
    """A runner's working folder on the device, the local command that starts it there, and the boot it was made in."""

    folder: str
    command: list[str]
    boot: str


class RemoteDevice:
    """One device; it is connected at the first use, and then by all rows that are measured there."""

    def __init__(self, config: DeviceConfig):
        self.config, self.name, self.free_mb = config, config.name, config.limits.free_mb
        self.transport = make_transport(config)
        self.connecting = Lock()
        self.root, self.home, self.boot = "", "", ""
        self.python: list[str] = []  # the command of the Python runner, once it is on the device
        self.gone = ""  # why the device was given up

    def connect(self) -> None:
        """Reaches the device and makes its folder, once.

        Raises:
            DeviceError: it does not answer, or the folder cannot be made.
        """
        with self.connecting:
            if self.gone:
                raise DeviceError(f"{self.name}: was given up before: {self.gone}")
            if not self.root:
                self.root, self.home, self.boot = self._prepare()

    def command(self, *arguments: str) -> Ending:
        """Runs a command on the device to its end, whatever its exit code; DeviceError where it is not reached."""
        try:
            return run(self.transport, arguments, self.config.limits.step_s)
        except DeviceError as error:
            raise DeviceError(f"{self.name}: {error}") from None

    def push(self, source: Path, target: str) -> None:
        """Copies a file to a path on the device."""
        try:
            self.transport.push(source, target, self.config.limits.transfer_s)
        except DeviceError as error:
            raise DeviceError(f"{self.name}: cannot be written: {error}") from None

    def pull(self, source: str, target: Path) -> None:
        """Copies a file from a path on the device."""
        try:
            self.transport.pull(source, target, self.config.limits.transfer_s)
        except DeviceError as error:
            raise DeviceError(f"{self.name}: cannot be read: {error}") from None

    def open_session(self, runtime: str) -> Session:
        """Makes a folder for a runner, with the runner's file on the device; the command starts it."""
        self.connect()
        program = self._start_native(runtime) if runtime in self.config.native else self._start_python()
        folder = f"{self.root}/sessions/{secrets.token_hex(8)}"
        settings = [f"{name}={value}" for name, value in self.config.environment.items()]
        start = ["sh", "-c", START, "sh", folder, *(["env", *settings] if settings else []), *program]
        return Session(folder, self.transport.open(start), self.boot)

    def close_session(self, session: Session) -> None:
        """Ends a runner that hangs and removes its folder, if the device still answers."""
        if self.gone:
            return
        try:
            self.command("sh", "-c", FINISH, "sh", session.folder)
        except DeviceError:  # `devices clean` removes it later; a runner ends when its input does
            pass

    def describe_loss(self, session: Session) -> str:
        """What became of a device whose connection broke, in words; waits `limits.return_s` for it to come back."""
        with self.connecting:
            self._await_return()
        if self.gone:
            return f"the device did not come back within {self.config.limits.return_s:g} s: {self.gone}"
        return "the device has rebooted" if self.boot != session.boot else "the device answers again"

    def clean(self) -> bool:
        """Removes all that msnoah left there; False where there was nothing."""
        self._reach()
        return self.command("sh", "-c", CLEAN, "sh", folder_of(self.config)).output.strip() == "cleaned"

    def _await_return(self) -> None:
        """Sets `boot`, or `gone`; a device that was given up is not waited for a second time."""
        deadline = time.monotonic() + self.config.limits.return_s
        while not self.gone:
            try:
                self.root, self.home, self.boot = self._prepare()
                return
            except DeviceError as error:
                if time.monotonic() > deadline:
                    self.gone = str(error).removeprefix(f"{self.name}: ")
            time.sleep(RETRY_S)

    def _prepare(self) -> list[str]:
        """The folder's absolute path, the home of who logs in, and the number of the boot."""
        self._reach()
        folder = folder_of(self.config)
        ending = self.command("sh", "-c", PREPARE, "sh", folder)
        if ending.code == FOREIGN:
            raise DeviceError(
                f"{self.name}: {folder} holds '{ending.words}', which msnoah did not make; name another folder")
        if ending.code:
            raise DeviceError(f"{self.name}: folder {folder} cannot be used: {ending.words}")
        return ending.output.strip().splitlines()[-3:]

    def _reach(self) -> None:
        try:
            self.transport.connect(self.config.limits.connect_s)
        except DeviceError as error:
            raise DeviceError(f"{self.name}: {error}") from None

    def _start_python(self) -> list[str]:
        if not self.python:
            with tempfile.TemporaryDirectory() as folder:
                archive = write_runner(Path(folder) / ARCHIVE_NAME)
                place = keep_files(self, "runners", {ARCHIVE_NAME: archive})
            python = self.config.python or PYTHONS[self.config.kind]
            self.python = [*self._expand(python), f"{place}/{ARCHIVE_NAME}"]
        return self.python

    def _start_native(self, runtime: str) -> list[str]:
        file = self.config.native_file(runtime)
        if not file.is_file():
            raise DeviceError(f"{self.config.path}: native.{runtime}.file: no such file {shlex.quote(str(file))}")
        path = f"{keep_files(self, 'runners', {file.name: file})}/{file.name}"
        self.command("chmod", "755", path)
        return [*self._expand(self.config.native[runtime].wrapper), path]

    def _expand(self, arguments: Sequence[str]) -> list[str]:
        """~/ is the home on the device; no shell reads these words."""
        return [f"{self.home}/{word[2:]}" if word.startswith("~/") else word for word in arguments]
