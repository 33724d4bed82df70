"""An Android device that the adb program reaches, over USB or by address."""

import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from msnoah.deploy.transports.base import Ending, run_client
from msnoah.errors import DeviceError

ADDRESS = re.compile(r".+:\d+")
CLIENT_FAILED = re.compile(
    r"(adb: )?(error: )?(device\b|no devices|more than one|closed|protocol fault|cannot connect)")
CONNECTION_BROKEN = (0, 255)  # what `adb shell` ends with where the device goes away: release 29 gives 0


class AdbTransport:
    """One device by its serial number, or its address and port; Android 7 or later, which hands exit codes on."""

    def __init__(self, serial: str, program: str = "adb", server_port: int | None = None):
        self.serial = serial
        self.server = [program, *(["-P", str(server_port)] if server_port else [])]
        self.client = [*self.server, "-s", serial]

    def connect(self, limit_s: float) -> None:
        """Connects a device that has an address, and finds out whether it answers and hands exit codes on."""
        _start(self.server, limit_s)
        features = self._features(limit_s)
        if features.code and ADDRESS.fullmatch(self.serial):
            run_client([*self.server, "disconnect", self.serial], limit_s)  # else one that came back stays "offline"
            told = run_client([*self.server, "connect", self.serial], limit_s)
            features = self._features(limit_s)
            if features.code:
                features = replace(features, words=told.output.strip() or features.words)
        if features.code:
            raise DeviceError(f"cannot be reached: {features.words}")
        if "shell_v2" not in features.output.split():
            raise DeviceError("its adb hands on no exit codes (no feature shell_v2); Android 7 or later does")

    def open(self, arguments: Sequence[str]) -> list[str]:
        """`adb shell` without a terminal, which changes no byte, with the command quoted for the device's shell."""
        return [*self.client, "shell", "-T", shlex.join(arguments)]

    def push(self, source: Path, target: str, limit_s: float) -> None:
        """Sends a file by adb's own protocol."""
        self._copy("push", str(source), target, limit_s)

    def pull(self, source: str, target: Path, limit_s: float) -> None:
        """Takes a file by adb's own protocol."""
        self._copy("pull", source, str(target), limit_s)

    def is_lost(self, code: int, words: str) -> bool:
        """Whether adb itself failed."""
        return code in CONNECTION_BROKEN or (code == 1 and CLIENT_FAILED.match(words) is not None)

    def _features(self, limit_s: float) -> Ending:
        return run_client([*self.client, "features"], limit_s)

    def _copy(self, direction: str, source: str, target: str, limit_s: float) -> None:
        ending = run_client([*self.client, direction, source, target], limit_s)
        if ending.code:
            lines = [*ending.output.splitlines(), ending.words]
            words = next((line for line in lines if line.startswith("adb: error")), ending.words)
            raise DeviceError(f"{target}: {words}")


def _start(server: Sequence[str], limit_s: float) -> None:
    """Without pipes: the server would keep them open."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        subprocess.run([*server, "start-server"], **quiet, timeout=limit_s)
    except FileNotFoundError:
        raise DeviceError(f"{server[0]} is not installed; Android's platform tools have it (Debian: adb)") from None
    except subprocess.TimeoutExpired:
        raise DeviceError(f"adb's server did not start within {limit_s:g} s") from None
