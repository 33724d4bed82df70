"""What measuring needs of a way to a device: one small protocol, and how commands run over it."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from msnoah.errors import DeviceError

LONGEST_WORDS = 300
MARK = "msnoah"
BRACKETS = 'echo "$0 begin"; "$@"; code=$?; echo; echo "$0 end $code"'


class Transport(Protocol):
    """A way to one device. Commands are argument lists; what a shell on the way would read is quoted here."""

    def connect(self, limit_s: float) -> None:
        """Makes the device reachable where that takes a step of its own; DeviceError where it is not."""

    def open(self, arguments: Sequence[str]) -> list[str]:
        """The argument list of a local process whose standard streams and exit code are those of one on the device."""

    def push(self, source: Path, target: str, limit_s: float) -> None:
        """Copies a file to a path on the device; DeviceError says why it could not."""

    def pull(self, source: str, target: Path, limit_s: float) -> None:
        """Copies a file from a path on the device; DeviceError says why it could not."""

    def is_lost(self, code: int, words: str) -> bool:
        """Whether an opened process that should go on ended by the client's doing: the device was not reached any more.

        Args:
            code: its exit code; words: the last line of its standard error.
        """


@dataclass(frozen=True)
class Ending:
    """How a command ended: its exit code, what it wrote, and the last line of its standard error."""

    code: int
    output: str
    words: str


def run(transport: Transport, arguments: Sequence[str], limit_s: float) -> Ending:
    """Runs a command on the device to its end.

    What a login shell writes of itself is left out. An exit code alone would not do: adb gives 0 where the connection
    broke, and ssh the far program's 255 as well as its own.

    Raises:
        DeviceError: the device was not reached, or the command took longer than `limit_s` seconds.
    """
    client = run_client(transport.open(["sh", "-c", BRACKETS, MARK, *arguments]), limit_s)
    found = re.search(rf"^{MARK} begin\n(.*)\n{MARK} end (\d+)$", client.output, re.DOTALL | re.MULTILINE)
    if found is None:
        raise DeviceError(f"cannot be reached: {client.words or f'the client ended with code {client.code}'}")
    return Ending(int(found[2]), found[1], client.words)


def run_client(command: Sequence[str], limit_s: float, stdin: IO | int = subprocess.DEVNULL,
               stdout: IO | int = subprocess.PIPE) -> Ending:
    """Runs a program of this machine to its end; DeviceError where it is missing or takes longer than `limit_s`."""
    try:
        done = subprocess.run(command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise DeviceError(f"no answer within {limit_s:g} s") from None
    except OSError as error:
        raise DeviceError(f"{command[0]} cannot be started: {error.strerror}") from error
    return Ending(done.returncode, _text(done.stdout), last_line(_text(done.stderr)))


def last_line(text: str) -> str:
    """The last line that is not empty, at most LONGEST_WORDS letters of it."""
    lines = text.strip().splitlines() or [""]
    return lines[-1].strip()[:LONGEST_WORDS]


def _text(output: bytes | None) -> str:
    return (output or b"").decode("utf-8", errors="replace")
