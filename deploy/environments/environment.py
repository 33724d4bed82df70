"""A side environment: Python packages that cannot live beside msnoah's, in a folder with a Python of their own.

Each lies under the hash of its requirements, so that what another msnoah made is never taken for what this one needs. A
stamp is written last: a folder without one is what an interrupted installation left, and counts for nothing.
"""

import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from msnoah.errors import RuntimeUnavailableError

HOME_VARIABLE = "MSNOAH_HOME"
STAMP_FILE = "stamp.json"


def environments_folder() -> Path:
    """Where side environments lie: under $MSNOAH_HOME, else under msnoah's folder of the user's data."""
    chosen = os.environ.get(HOME_VARIABLE)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return (Path(chosen).absolute() if chosen else Path(data) / "msnoah") / "environments"


@dataclass(frozen=True)
class Stamp:
    """What an environment was made of: its Python, its packages with their versions, and the msnoah that made it."""

    python: str
    versions: dict[str, str]
    msnoah: str

    def save(self, folder: Path) -> None:
        """Writes STAMP_FILE, by which the environment begins to count."""
        new = folder / f".{STAMP_FILE}"
        new.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        os.replace(new, folder / STAMP_FILE)


@dataclass(frozen=True)
class Environment:
    """What is to be made, and where it lies.

    Attributes:
        name: of the environment, and of the package that it is made for.
        module: what is imported to see that it works.
        pythons: versions that its packages run on, the best first; empty: that of msnoah itself.
        size_mb: about what it takes on the disk.
        purpose: what it is for, in a few words.
        requirements_file: every package of it with its version, as pip reads them.
    """

    name: str
    module: str
    pythons: tuple[str, ...]
    size_mb: int
    purpose: str
    requirements_file: Path

    @property
    def command(self) -> str:
        """What makes it."""
        return f"msnoah runtimes install {self.name}"

    @property
    def versions_wanted(self) -> tuple[str, ...]:
        """The versions of Python that will do."""
        return self.pythons or (f"{sys.version_info.major}.{sys.version_info.minor}",)

    @property
    def home(self) -> Path:
        """The folder of this and of earlier states of it."""
        return environments_folder() / self.name

    @property
    def folder(self) -> Path:
        """Where the environment of these requirements lies."""
        return self.home / hashlib.sha256(self.requirements_file.read_bytes()).hexdigest()[:8]

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    def find(self) -> Stamp:
        """The stamp of the environment, which is there and can be used.

        Raises:
            RuntimeUnavailableError: there is none, or one of other requirements, or one that is damaged.
        """
        stamp = read_stamp(self.folder)
        if stamp is None:
            raise RuntimeUnavailableError(f"{self.name} {self._absence()}; `{self.command}` gets it ({self.purpose})")
        if not self.interpreter.is_file():   # it links to the Python that it was made with
            raise RuntimeUnavailableError(
                f"{self.name}'s environment has lost its Python {stamp.python} ({self.interpreter});"
                f" `{self.command}` makes it anew")
        return stamp

    def _absence(self) -> str:
        others = [stamp for folder in sorted(self.home.glob("*")) if (stamp := read_stamp(folder))]
        if others:
            had = f"{self.name} {others[0].versions.get(self.name, 'of an unknown version')}"
            return f"is installed for another msnoah ({had}, by msnoah {others[0].msnoah}; in {self.home})"
        return f"is not installed in {environments_folder()}"


def read_stamp(folder: Path) -> Stamp | None:
    """What the stamp of a folder says; None where there is none, or none that can be read."""
    try:
        return Stamp(**json.loads((folder / STAMP_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
