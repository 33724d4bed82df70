"""A device that the ssh program reaches, with the keys and hosts that the user's own configuration knows.

Files go through `cat` on the device instead of scp or sftp: boards with Dropbear or a bare OpenSSH have no sftp server.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from msnoah.deploy.transports.base import Ending, run_client
from msnoah.errors import DeviceError

CONNECTION_FAILED = 255  # ssh's own exit code; the far program's is handed on otherwise
KEEP_ALIVE_S = 5
SILENT_INTERVALS = 3

# The shell stays until the program has ended: sshd tells of a death by a signal in a way that the ssh program turns
# into its own exit code, while the shell tells of it as 128 + signal.
STAY = '"$@"; exit $?'


class SshTransport:
    """One host; never asks for a password or the trust in a host key, since nobody may be there to answer."""

    def __init__(self, host: str, port: int | None = None, identity_file: str | None = None,
                 options: Mapping[str, str] | None = None, connect_s: float = 10):
        self.host = host
        kept = {"BatchMode": "yes", "ConnectTimeout": f"{max(1, round(connect_s))}",
                "ServerAliveInterval": str(KEEP_ALIVE_S), "ServerAliveCountMax": str(SILENT_INTERVALS)}
        kept |= {"Port": str(port)} if port else {}
        if identity_file:
            kept |= {"IdentityFile": str(Path(identity_file).expanduser()), "IdentitiesOnly": "yes"}
        kept |= options or {}
        self.options = [part for name, value in kept.items() for part in ("-o", f"{name}={value}")]

    def connect(self, limit_s: float) -> None:
        """Nothing: each command makes its connection; ControlMaster in the user's configuration shares one."""

    def open(self, arguments: Sequence[str]) -> list[str]:
        """ssh with the command as one string, quoted for the login shell that reads it."""
        return ["ssh", "-T", *self.options, "--", self.host, shlex.join(["sh", "-c", STAY, "sh", *arguments])]

    def push(self, source: Path, target: str, limit_s: float) -> None:
        """Sends a file through standard input."""
        with open(source, "rb") as file:
            _check(run_client(self.open(["sh", "-c", 'cat > "$1"', "sh", target]), limit_s, stdin=file), target)

    def pull(self, source: str, target: Path, limit_s: float) -> None:
        """Takes a file from standard output."""
        with open(target, "wb") as file:
            _check(run_client(self.open(["cat", source]), limit_s, stdout=file), source)

    def is_lost(self, code: int, words: str) -> bool:
        """Whether ssh itself failed."""
        return code == CONNECTION_FAILED


def _check(ending: Ending, path: str) -> None:
    if ending.code == CONNECTION_FAILED:
        raise DeviceError(f"{path}: the connection was lost: {ending.words}")
    if ending.code:
        raise DeviceError(f"{path}: {ending.words}")
