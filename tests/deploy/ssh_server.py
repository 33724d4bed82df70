"""A real sshd on the loopback for this user, with keys and settings of its own in a folder of the test's."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
MISSING = [name for name, found in (("sshd (Debian: openssh-server)", SSHD), ("ssh", shutil.which("ssh")),
                                    ("ssh-keygen", shutil.which("ssh-keygen"))) if not found]
PRIVILEGE_SEPARATION = Path("/run/sshd")  # an sshd of root's wants it; elsewhere its service makes it
SETTINGS = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
SetEnv {environment}
"""


class SshServer:
    """Started at once, and ended by `stop` with all that runs in its sessions."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder = folder
        for name in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        pairs = " ".join(f'"{name}={value}"' for name, value in environment.items())
        settings = SETTINGS.format(port=self.port, folder=folder, environment=pairs)
        (folder / "sshd_config").write_text(settings, encoding="utf-8")
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(exist_ok=True)
        self.start()

    def start(self):
        """Starts it, again after a `stop`, and waits until it takes connections."""
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "sshd_config"],
                                        stdin=subprocess.DEVNULL, stderr=open(self.folder / "log", "ab"))
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def stop(self):
        """As when the device loses its power: the server and everything under it are killed."""
        for number in descendants(self.process.pid):
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


def descendants(root: int) -> list[int]:
    """A process and all below it, the process first."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
    found = [root]
    for number in found:
        found += [child for child, parent in parents.items() if parent == number]
    return found
