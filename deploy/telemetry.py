"""What changes on a machine while it works: temperature, clock, energy. Nothing is installed or configured for it.

Linux shows them as files: https://docs.kernel.org/power/powercap/powercap.html (RAPL),
https://docs.kernel.org/hwmon/sysfs-interface.html (energyN_input in microjoules, powerN_input in microwatts; INA219,
INA226, INA260 and INA3221 appear there), and https://docs.kernel.org/iio/ (in_powerN_input in milliwatts).
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from msnoah.deploy.device import read_frequency_mhz, read_number, read_temperature_c, read_text

RAPL = "sys/class/powercap"
HWMON = "sys/class/hwmon"
IIO = "sys/bus/iio/devices"


@dataclass(frozen=True)
class Telemetry:
    """Readings of one moment; None is what this machine does not tell or does not let us read."""

    temperature_c: float | None = None  # of the hottest zone
    frequency_mhz: float | None = None  # of the first core
    energy_j: float | None = None  # a counter's reading since some moment in the past
    power_w: float | None = None  # at this moment, where there is a sensor

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Telemetry":
        """From what a worker answers; what it does not know of is None."""
        return cls(**{field.name: record.get(field.name) for field in fields(cls)})


def read_telemetry(root: Path = Path("/")) -> Telemetry:
    """Reads this machine; `root` is where its proc and sys stand."""
    return Telemetry(read_temperature_c(root), read_frequency_mhz(root), read_energy_j(root), read_power_w(root))


def read_energy_j(root: Path = Path("/")) -> float | None:
    """The sum of all packages' RAPL counters, else of hwmon's energy counters; None without any that may be read.

    Zones inside a package (intel-rapl:0:0, cores and memory) are left out: the package has counted them. Nor is `psys`
    added, which counts the packages once more.
    """
    zones = [zone for zone in sorted((root / RAPL).glob("*:*")) if zone.name.count(":") == 1 and not _is_platform(zone)]
    packages = _readings(zone / "energy_uj" for zone in zones)
    counters = packages or _readings(sorted((root / HWMON).glob("hwmon*/energy*_input")))
    return sum(counters) / 1e6 if counters else None  # microjoules


def read_power_w(root: Path = Path("/")) -> float | None:
    """Watts of the board now: of the sensors, each a rail, the largest, since a rail that feeds others counts them."""
    microwatts = _readings(sorted((root / HWMON).glob("hwmon*/power*_input")))
    milliwatts = _readings(sorted((root / IIO).glob("iio:device*/in_power*_input")))
    watts = [value / 1e6 for value in microwatts] + [value / 1e3 for value in milliwatts]
    return max(watts, default=None)


def _is_platform(zone: Path) -> bool:
    return read_text(zone / "name") == "psys"


def _readings(paths: Iterable[Path]) -> list[float]:
    return [value for value in map(read_number, map(read_text, paths)) if value is not None]
