"""A package that a runtime needs: stated once, read by errors, by `msnoah runtimes` and by the guide's test."""

import importlib
import importlib.metadata
import subprocess
from dataclasses import dataclass
from types import ModuleType

from msnoah.deploy.environments.environment import Environment
from msnoah.deploy.process_ending import LONGEST_WORDS, describe_ending
from msnoah.errors import RuntimeUnavailableError

IMPORT_LIMIT_S = 100.0  # less than `msnoah runtimes` waits for the process that asks


@dataclass(frozen=True)
class Requirement:
    """A package by its name in the registry, what is imported of it, the command that gets it, and a word on that.

    `module` is None where no module is imported: only the package's files are used.
    """

    package: str
    module: str | None
    command: str
    reason: str = ""

    @property
    def remedy(self) -> str:
        """`pip install x` gets it, with the reason for the way that the command is written."""
        return f"`{self.command}` gets it" + (f" ({self.reason})" if self.reason else "")

    def load(self) -> ModuleType:
        """Imports the module; RuntimeUnavailableError says why it cannot be, and the command."""
        try:
            return importlib.import_module(self.module)
        except ImportError as error:
            raise RuntimeUnavailableError(f"{self.package} cannot be imported ({error}); {self.remedy}") from error

    def installed_version(self) -> str:
        """The version that the package's metadata has, without an import.

        Raises:
            RuntimeUnavailableError: the package is not installed.
        """
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            raise RuntimeUnavailableError(f"{self.package} is not installed; {self.remedy}") from None

    def version(self) -> str:
        """The version of what would run: the imported module's own word, else the package's.

        Raises:
            RuntimeUnavailableError: it is missing, or cannot be imported.
        """
        told = getattr(self.load(), "__version__", None) if self.module else None
        return told or self.installed_version()


@dataclass(frozen=True)
class EnvironmentRequirement:
    """A package in a side environment of its own; `imported` where its import is part of looking for it."""

    environment: Environment
    imported: bool = True

    @property
    def package(self) -> str:
        """The package, which is called as its environment."""
        return self.environment.name

    @property
    def module(self) -> str | None:
        """What is imported; None where the environment's stamp says enough, since the import takes long."""
        return self.environment.module if self.imported else None

    @property
    def command(self) -> str:
        """What gets it."""
        return self.environment.command

    def installed_version(self) -> str:
        """The version that the environment's stamp has.

        Raises:
            RuntimeUnavailableError: there is no environment, or one of other requirements.
        """
        return self.environment.find().versions[self.package]

    def version(self) -> str:
        """The same, once the module has been imported in the environment.

        Raises:
            RuntimeUnavailableError: it is missing, or cannot be imported there.
        """
        version = self.installed_version()
        command = [str(self.environment.interpreter), "-I", "-c", f"import {self.environment.module}"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                                 timeout=IMPORT_LIMIT_S)
        except subprocess.TimeoutExpired:
            words = f"{self.package} cannot be imported: no end within {IMPORT_LIMIT_S:g} s"
            raise RuntimeUnavailableError(words) from None
        if ran.returncode:
            lines = ran.stderr.strip().splitlines() or [describe_ending(ran.returncode)]
            raise RuntimeUnavailableError(
                f"{self.package} cannot be imported in {self.environment.folder}: {lines[-1][:LONGEST_WORDS]}")
        return version
