"""What the machine says of itself: chip, cores, governor, load, temperature; None where it does not say."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Device:
    """Facts of a machine as read at one moment; None means that the system does not tell."""

    chip: str | None
    architecture: str
    system: str
    cores: int  # logical cores that this process may use
    governor: str | None
    frequency_mhz: float | None
    load_average: float | None  # over the last minute
    memory_mb: float | None
    temperature_c: float | None

    def same_machine(self, other: "Device") -> bool:
        """Whether two profiles come from machines that cannot be told apart: chip, architecture and cores."""
        return (self.chip, self.architecture, self.cores) == (other.chip, other.architecture, other.cores)


def read_device(root: Path = Path("/")) -> Device:
    """Reads this machine; `root` is where its proc and sys stand."""
    return Device(
        chip=_chip(root),
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        cores=available_cores(),
        governor=read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        frequency_mhz=read_frequency_mhz(root),
        load_average=load_average(),
        memory_mb=_memory_mb(root),
        temperature_c=read_temperature_c(root),
    )


def available_cores() -> int:
    """Logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Processes that wanted a core during the last minute; None where the system keeps no such figure."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _chip(root: Path) -> str | None:
    names = ("model name", "Hardware", "Model")  # x86, then two spellings of Arm kernels
    fields = _fields(root / "proc/cpuinfo")
    return next((fields[name] for name in names if name in fields), None) or platform.processor() or None


def read_frequency_mhz(root: Path) -> float | None:
    """The clock of the first core now."""
    kilohertz = read_number(read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"))
    if kilohertz is not None:
        return kilohertz / 1000
    return read_number(_fields(root / "proc/cpuinfo").get("cpu MHz"))


def _memory_mb(root: Path) -> float | None:
    kilobytes = read_number(_fields(root / "proc/meminfo").get("MemTotal", "").removesuffix("kB"))
    return None if kilobytes is None else round(kilobytes / 1024, 1)


def read_temperature_c(root: Path) -> float | None:
    """Of the hottest zone."""
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))
    readings = [value for value in (read_number(read_text(zone)) for zone in zones) if value is not None]
    return max(readings) / 1000 if readings else None  # the kernel gives millidegrees; the hottest zone throttles first


def _fields(path: Path) -> dict[str, str]:
    """The first value of each `name : value` line."""
    fields: dict[str, str] = {}
    for line in (read_text(path) or "").splitlines():
        name, separator, value = line.partition(":")
        if separator:
            fields.setdefault(name.strip(), value.strip())
    return fields


def read_text(path: Path) -> str | None:
    """A file without the space around it; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_number(text: str | None) -> float | None:
    """A number from what `read_text` gave; None where there is none in it."""
    try:
        return float(text) if text else None
    except ValueError:
        return None
