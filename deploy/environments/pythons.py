"""Interpreters of a certain version of Python, found where people keep them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from msnoah.errors import RuntimeUnavailableError

PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys.executable)"
PROBE_LIMIT_S = 30.0


def find_python(name: str, versions: Sequence[str]) -> Path:
    """An interpreter of one of some versions that can make environments: this one, one on PATH, or one of pyenv's.

    Args:
        name: what it is for, for the error.
        versions: as in "3.7", the best first.

    Raises:
        RuntimeUnavailableError: there is none; what was looked for and how to get it.
    """
    useless = []
    for version in versions:
        for candidate in _candidates(version):
            found, words = _probe(candidate, version)
            if found:
                return found
            useless.append(f"{candidate}: {words}")
    wanted, programs = " or ".join(versions), ", ".join(f"python{version}" for version in versions)
    looked = f"looked for {programs} on PATH and in {' and '.join(map(str, _pyenv_roots()))}"
    faults = f" ({'; '.join(useless)})" if useless else ""
    raise RuntimeUnavailableError(
        f"{name} needs Python {wanted}, which is not here: {looked}{faults}; `pyenv install {versions[0]}` gets it")


def _candidates(version: str) -> Iterator[Path]:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield Path(sys.executable)
    seen = set()
    for path in (*_on_path(version), *_in_pyenv(version)):
        if path not in seen and os.access(path, os.X_OK) and path.is_file():
            seen.add(path)
            yield path


def _on_path(version: str) -> Iterator[Path]:
    """All of them: the first may be a shim of a version manager that has another version switched on."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield Path(folder or ".").absolute() / f"python{version}"


def _in_pyenv(version: str) -> Iterator[Path]:
    for root in _pyenv_roots():
        for folder in sorted(root.glob(f"{version}.*"), key=_patch, reverse=True):
            yield folder / "bin" / f"python{version}"


def _pyenv_roots() -> list[Path]:
    root = os.environ.get("PYENV_ROOT")
    return [Path(root) / "versions"] if root else [Path.home() / ".pyenv" / "versions"]


def _patch(folder: Path) -> tuple[int, str]:
    last = folder.name.split(".")[-1]
    return int(last) if last.isdecimal() else -1, folder.name


def _probe(path: Path, version: str) -> tuple[Path | None, str]:
    """The interpreter behind a path, or what is wrong with it, in words."""
    try:
        ran = subprocess.run([str(path), "-I", "-c", PROBE], capture_output=True, text=True, errors="replace",
                             stdin=subprocess.DEVNULL, timeout=PROBE_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, getattr(error, "strerror", None) or f"no answer within {PROBE_LIMIT_S:g} s"
    told = ran.stdout.split(maxsplit=1)
    if ran.returncode == 0 and len(told) == 2:
        return (Path(told[1].strip()), "") if told[0] == version else (None, f"is Python {told[0]}")
    lines = ran.stderr.strip().splitlines()
    return None, lines[-1][:150] if lines else f"ended with exit code {ran.returncode}"
