"""Devices for tests: this machine behind a real sshd, behind a real adb, or without anything between."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from adb_daemon import AdbDaemon
from ssh_server import MISSING, SshServer

from msnoah.deploy.device_config import DeviceConfig, load_device


class TestDevice:
    """A device that tests reach by its `config`: its files are under `folder`, its commands find `programs` first."""

    __test__ = False

    def __init__(self, kind: str, folder: Path):
        self.kind, self.folder, self.programs = kind, folder, folder / "programs"
        self.programs.mkdir()
        (folder / "cache").mkdir()
        path = f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.server, self.values = STARTS[kind](folder, {"PATH": path, "HOME": str(folder)})
        self.values = {"folder": str(folder / "cache" / "msnoah"), "python": [sys.executable], **self.values}
        self.values["limits"] = {"connect_s": 5, "step_s": 20, "return_s": 0, "free_mb": 0}

    def config(self, **changes) -> DeviceConfig:
        """The device's YAML, with other values for some keys, written and read."""
        path = self.folder / f"{self.kind}_board.yaml"
        path.write_text(yaml.safe_dump({**self.values, **changes}), encoding="utf-8")
        return load_device(path)

    def limits(self, **changes) -> dict:
        """The section with other values for some keys."""
        return {"limits": {**self.values["limits"], **changes}}

    def plant(self, name: str, script: str) -> None:
        """Puts a shell script in the place of a program of the device."""
        path = self.programs / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def kill(self) -> None:
        """As when the device loses its power."""
        self.server.stop()

    def close(self) -> None:
        """Ends all that was started."""
        if self.server is not None:
            self.server.stop()
        if self.kind == "adb":
            program, port = self.values["adb"].values()
            subprocess.run([program, "-P", str(port), "kill-server"], stderr=subprocess.DEVNULL)


def _local(folder: Path, environment: dict[str, str]):
    return None, {"transport": "local"}


def _ssh(folder: Path, environment: dict[str, str]):
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    server = SshServer(folder, environment)
    options = {"StrictHostKeyChecking": "accept-new", "UserKnownHostsFile": str(folder / "known_hosts"),
               "LogLevel": "ERROR",
               "KexAlgorithms": "curve25519-sha256"}  # the cheapest: these tests connect some hundred times
    ssh = {"identity_file": str(folder / "user_key"), "options": options}
    return server, {"transport": f"ssh:{getpass.getuser()}@127.0.0.1:{server.port}", "ssh": ssh}


def _adb(folder: Path, environment: dict[str, str]):
    if not shutil.which("adb"):
        pytest.skip("not installed: adb (Debian: adb)")
    daemon = AdbDaemon(folder, environment)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # its keys and its log go into the folder of the test
    program = folder / "adb"
    program.write_text(f'#!/bin/sh\nHOME="{folder}" TMPDIR="{folder}" exec {shutil.which("adb")} "$@"\n')
    program.chmod(0o755)
    return daemon, {"transport": f"adb:{daemon.serial}", "adb": {"program": str(program), "server_port": port}}


STARTS = {"local": _local, "ssh": _ssh, "adb": _adb}
