"""A package that a runtime needs: stated once, read by errors, by `msnoah runtimes` and by the guide's test."""

import importlib
import importlib.metadata
from dataclasses import dataclass
from types import ModuleType

from msnoah.errors import RuntimeUnavailableError


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
