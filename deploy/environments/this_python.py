"""Packages of runtimes that live beside msnoah's own, in this Python: put in and taken out by its pip."""

import importlib.metadata
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msnoah.deploy.environments.shown_process import run_shown
from msnoah.deploy.runtimes.base import Runtime
from msnoah.deploy.runtimes.requirement import Requirement
from msnoah.errors import RuntimeUnavailableError

NAME = re.compile(r"[A-Za-z0-9._-]+")
PIP = (sys.executable, "-m", "pip")
Command = tuple[str, ...]


def commands_to_install(runtime: Runtime) -> list[Command]:
    """What puts in the packages of a runtime that are missing here; its side environments are another matter."""
    options = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    missing = [requirement for requirement in _own(runtime) if not _is_here(requirement)]
    return [(*PIP, *_pip_arguments(requirement), *options) for requirement in missing]


def commands_to_remove(runtime: Runtime) -> list[Command]:
    """What takes out the packages of a runtime.

    Raises:
        RuntimeUnavailableError: msnoah itself needs one of them, or none is here.
    """
    needed = {_normal(NAME.match(line).group()) for line in _needs_of_msnoah()}
    for requirement in _own(runtime):
        if _normal(requirement.package) in needed:
            raise RuntimeUnavailableError(f"{runtime.name} stays: msnoah itself needs {requirement.package}")
    packages = [requirement.package for requirement in _own(runtime) if _is_here(requirement)]
    if not packages:
        raise RuntimeUnavailableError(f"{runtime.name} is not installed: there is nothing to remove")
    return [(*PIP, "uninstall", "--yes", "--disable-pip-version-check", *packages)]


def run_pip(runtime: Runtime, commands: Sequence[Command]) -> None:
    """Runs such commands; what msnoah itself needs keeps its versions, as numpy below 2.

    Raises:
        ToolError: pip fails; its last line.
    """
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "constraints.txt"
        kept.write_text("\n".join(_needs_of_msnoah()), encoding="utf-8")
        for command in commands:
            run_shown([*command, *(["--constraint", str(kept)] if "install" in command else [])], runtime.name)


def _own(runtime: Runtime) -> list[Requirement]:
    return [requirement for requirement in runtime.requirements if isinstance(requirement, Requirement)]


def _pip_arguments(requirement: Requirement) -> list[str]:
    """`pip install --no-deps pnnx` -> what follows `pip`."""
    return shlex.split(requirement.command)[1:]


def _is_here(requirement: Requirement) -> bool:
    try:
        requirement.installed_version()
    except RuntimeUnavailableError:
        return False
    return True


def _needs_of_msnoah() -> list[str]:
    """Lines as pip takes them, without those of extras; none where msnoah's metadata are not there."""
    try:
        lines = importlib.metadata.requires("msnoah") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [line for line in lines if "extra ==" not in line]


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
