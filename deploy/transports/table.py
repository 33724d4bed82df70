"""The transport that a device's YAML names."""

from pathlib import Path

from msnoah.deploy.device_config import HOMES, Adb, DeviceConfig, Ssh
from msnoah.deploy.transports.adb import AdbTransport
from msnoah.deploy.transports.base import Transport
from msnoah.deploy.transports.local import LocalTransport
from msnoah.deploy.transports.ssh import SshTransport


def make_transport(config: DeviceConfig) -> Transport:
    """The way to a device; nothing is connected yet."""
    return TRANSPORTS[config.kind](config)


def folder_of(config: DeviceConfig) -> str:
    """Where msnoah writes on the device; a folder of the home is relative, since far logins begin there."""
    folder = config.folder or HOMES[config.kind]
    return str(Path(folder).expanduser()) if config.kind == "local" else folder.removeprefix("~/")


def _ssh(config: DeviceConfig) -> SshTransport:
    address, settings = config.address, config.ssh or Ssh()
    port = int(address["port"]) if address["port"] else None
    host = address["host"].replace("[", "").replace("]", "")
    return SshTransport(host, port, settings.identity_file, settings.options, config.limits.connect_s)


def _adb(config: DeviceConfig) -> AdbTransport:
    settings = config.adb or Adb()
    return AdbTransport(config.address["serial"], settings.program, settings.server_port)


TRANSPORTS = {"local": lambda config: LocalTransport(), "ssh": _ssh, "adb": _adb}
