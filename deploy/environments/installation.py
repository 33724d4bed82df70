"""Makes side environments, whole or not at all, and takes them away."""

import fcntl
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msnoah
from msnoah.deploy.environments.environment import Environment, Stamp
from msnoah.deploy.environments.pythons import find_python
from msnoah.deploy.environments.shown_process import run_shown
from msnoah.errors import RuntimeUnavailableError

PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", re.MULTILINE)
LOCK_FILE = ".lock"


@dataclass(frozen=True)
class Plan:
    """What an installation will do: the Python that it takes, and its commands in order."""

    environment: Environment
    python: Path
    commands: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        head = f"{self.environment.name}: about {self.environment.size_mb} MB in {self.environment.folder}"
        return "\n".join([head, *(f"  {' '.join(command)}" for command in self.commands)])


def plan_environment(environment: Environment) -> Plan:
    """How an environment will be made.

    Raises:
        RuntimeUnavailableError: there is no Python for it.
    """
    python, inner = find_python(environment.name, environment.versions_wanted), str(environment.interpreter)
    # Isolated, since the user's PYTHONPATH is for another Python; no dependencies, since the file has them all.
    pip = (inner, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off",
           "--no-deps", "--only-binary", ":all:", "-r", str(environment.requirements_file))
    return Plan(environment, python, (
        (str(python), "-I", "-m", "venv", str(environment.folder)), pip,
        (inner, "-I", "-c", f"import {environment.module}")))


def make_environment(plan: Plan) -> Stamp:
    """Carries a plan out; states of the environment that other requirements had go when it is done.

    Raises:
        ToolError: one of the commands failed; its last line. Nothing is left of the environment.
        RuntimeUnavailableError: the folder cannot be written, or another process is at it.
    """
    environment = plan.environment
    with _holding(environment):
        shutil.rmtree(environment.folder, ignore_errors=True)
        try:
            for command, what in zip(plan.commands, ("environment", "packages", "import"), strict=True):
                run_shown(command, f"{environment.name}, {what}")
            stamp = Stamp(_version_of(environment.interpreter), pinned_versions(environment), msnoah.__version__)
            stamp.save(environment.folder)
        except BaseException:   # an interruption too
            shutil.rmtree(environment.folder, ignore_errors=True)
            raise
        _remove_others(environment)
    return stamp


def remove_environment(environment: Environment) -> Path:
    """Takes away an environment in all its states, half ones too; gives the folder that is gone.

    Raises:
        RuntimeUnavailableError: there is none, or it cannot be removed.
    """
    if not environment.home.is_dir():
        raise RuntimeUnavailableError(f"{environment.name} has no environment: {environment.home} is not there")
    with _holding(environment):
        shutil.rmtree(environment.home)
    return environment.home


def pinned_versions(environment: Environment) -> dict[str, str]:
    """{package: version} of the requirements."""
    return dict(PIN.findall(environment.requirements_file.read_text(encoding="utf-8")))


def _version_of(interpreter: Path) -> str:
    told = subprocess.run([str(interpreter), "-I", "-c", "import platform; print(platform.python_version())"],
                          capture_output=True, text=True)
    return told.stdout.strip() or platform.python_version()


def _remove_others(environment: Environment) -> None:
    for folder in environment.home.iterdir():
        if folder.is_dir() and folder != environment.folder:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _holding(environment: Environment) -> Iterator[None]:
    """Keeps other processes from the environment, and puts what the system refuses on one line."""
    home = environment.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with open(home / LOCK_FILE, "w", encoding="utf-8") as lock:
            _take(lock, environment)
            try:
                yield
            finally:
                _remove_if_empty(home)
    except OSError as error:
        raise RuntimeUnavailableError(
            f"{home}: cannot be written: {error.strerror or error}; $MSNOAH_HOME names another place") from error


def _take(lock: TextIO, environment: Environment) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeUnavailableError(
            f"{environment.home}: another process installs or removes {environment.name} now") from None


def _remove_if_empty(home: Path) -> None:
    """Nothing of a failed installation stays, its folder included."""
    if home.is_dir() and [path.name for path in home.iterdir()] == [LOCK_FILE]:
        shutil.rmtree(home, ignore_errors=True)
