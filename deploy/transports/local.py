"""This machine as a device: the same steps as for one far away, without a connection."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from msnoah.errors import DeviceError


class LocalTransport:
    """Commands run as they are; files are copied."""

    def connect(self, limit_s: float) -> None:
        """Nothing: this machine is here."""

    def open(self, arguments: Sequence[str]) -> list[str]:
        """The command itself."""
        return list(arguments)

    def push(self, source: Path, target: str, limit_s: float) -> None:
        """Copies a file."""
        _copy(source, target)

    def pull(self, source: str, target: Path, limit_s: float) -> None:
        """Copies a file."""
        _copy(source, target)

    def is_lost(self, code: int, words: str) -> bool:
        """Never."""
        return False


def _copy(source: str | Path, target: str | Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise DeviceError(f"{error.filename or os.fspath(target)}: {error.strerror}") from error
