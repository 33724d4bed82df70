"""The YAML of a device: how it is reached, where msnoah may write there, what runs there."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from msnoah.deploy.runtimes.table import find_runtime
from msnoah.errors import ConfigError, MsnoahError
from msnoah.yaml_file import read_yaml, validate

FOLDER = Path("configs/devices")
_WORD = r"[\w.][\w.-]*"
FORMS = {
    "local": re.compile(r"local"),
    "ssh": re.compile(rf"ssh:(?P<host>({_WORD}@)?({_WORD}|\[[0-9a-fA-F:.]+\]))(:(?P<port>\d+))?"),
    "adb": re.compile(r"adb:(?P<serial>[\w.][\w.:-]*)"),
}
"""What a transport may look like; a leading '-' would be an option of the client."""

HOMES = {"local": "~/.cache/msnoah/device", "ssh": "~/.cache/msnoah", "adb": "/data/local/tmp/msnoah"}
"""Where files go if the YAML does not say; on Android the only place that may be written and run from."""


def _as_text(value: Any) -> Any:
    """YAML 1.1 reads `no` as false and 22 as a number."""
    if isinstance(value, bool):
        return {True: "yes", False: "no"}[value]
    return str(value) if isinstance(value, int) else value


Text = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[^\n\x00]*$")]
Program = Annotated[tuple[Text, ...], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ssh(_Strict):
    """Options of the ssh program beside those of the user's own configuration."""

    identity_file: str | None = None
    options: dict[Annotated[str, Field(pattern=r"^[A-Za-z]+$")], Text] = {}


class Adb(_Strict):
    """The adb program and the port of its server, if they are not the usual ones."""

    program: str = "adb"
    server_port: int | None = Field(default=None, ge=1, le=65535)


class Limits(_Strict):
    """Seconds that the steps may take, and MiB that are to stay free on the device."""

    connect_s: float = Field(default=10, gt=0)
    step_s: float = Field(default=60, gt=0)  # commands such as making a folder or hashing a file
    transfer_s: float = Field(default=600, gt=0)
    answer_s: float = Field(default=1800, gt=0)  # one load, or one round of runs
    return_s: float = Field(default=60, ge=0)  # in which a device that was lost may come back, as after a reboot
    free_mb: float = Field(default=50, ge=0)


class Native(_Strict):
    """A runner that is a program of its own: the file on this machine, and what starts it, as in [taskset, f0]."""

    file: str
    wrapper: tuple[Text, ...] = ()


class DeviceConfig(_Strict):
    """A device. `python` starts Python there, for all runtimes without a program of their own in `native`."""

    transport: str
    note: str = ""
    folder: str | None = None
    python: Program | None = None
    native: dict[str, Native] = {}
    runtimes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], Text] = {}
    ssh: Ssh | None = None
    adb: Adb | None = None
    limits: Limits = Limits()
    _path: Path = PrivateAttr(default=Path("device.yaml"))

    @property
    def name(self) -> str:
        """The name of the YAML, which names the device in tables and profiles."""
        return self._path.stem

    @property
    def path(self) -> Path:
        """The YAML."""
        return self._path

    @property
    def kind(self) -> str:
        """local, ssh or adb."""
        return self.transport.partition(":")[0]

    @property
    def address(self) -> dict[str, str | None]:
        """The parts of the transport: host and port, or serial."""
        return FORMS[self.kind].fullmatch(self.transport).groupdict()

    def native_file(self, runtime: str) -> Path:
        """A runner on this machine; a relative path starts at the YAML's folder."""
        return self._path.parent / Path(self.native[runtime].file).expanduser()

    @field_validator("transport")
    @classmethod
    def _check_form(cls, value: str) -> str:
        form = FORMS.get(value.partition(":")[0])
        if form is None or not form.fullmatch(value):
            raise ValueError(f"found '{value}'; expected local, ssh:user@host, ssh:user@host:port or adb:serial")
        return value

    @field_validator("native", "runtimes")
    @classmethod
    def _know_runtimes(cls, value: Any) -> Any:
        for name in value or ():
            try:
                find_runtime(name)
            except MsnoahError as error:
                raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> "DeviceConfig":
        for section in ("ssh", "adb"):
            if getattr(self, section) is not None and section != self.kind:
                raise ValueError(f"section '{section}' is of no use with the transport {self.transport}; leave it out")
        if self.folder is not None and not self.folder.startswith("/"):
            if self.kind == "adb" or not self.folder.startswith("~/"):
                raise ValueError(f"folder '{self.folder}' must begin with /{' or ~/' if self.kind != 'adb' else ''}")
        return self


def load_device(path: str | Path) -> DeviceConfig:
    """Reads the YAML of a device.

    Raises:
        ConfigError: one line per fault, each with file, line and key.
    """
    values, lines = read_yaml(path, "a device (transport, folder, python, runtimes ...)")
    config = validate(DeviceConfig, values, lines, path)
    config._path = Path(path)
    return config


def find_device(name: str) -> DeviceConfig:
    """The device of a YAML's path, or of its name in configs/devices; ConfigError offers the nearest one."""
    if Path(name).suffix in (".yaml", ".yml"):
        return load_device(name)
    known = {path.stem: path for path in list_devices()}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"{FOLDER} has: {', '.join(known) or 'none'}"
        raise ConfigError(f"unknown device '{name}': expected a YAML file, or one of {FOLDER} by its name; {hint}")
    return load_device(known[name])


def list_devices() -> list[Path]:
    """The YAML files of configs/devices under the working folder, by name."""
    return sorted(FOLDER.glob("*.yaml"))


def find_devices(names: list[str]) -> list[DeviceConfig]:
    """The devices of several names or paths; ConfigError where two have one name, since profiles are kept by it."""
    configs = [find_device(name) for name in names]
    seen: dict[str, Path] = {}
    for config in configs:
        if config.name in seen:
            raise ConfigError(f"{seen[config.name]} and {config.path} are both called '{config.name}'; rename one")
        seen[config.name] = config.path
    return configs
