"""What a name stands for, a side environment or packages of this Python, and how it is put in and taken away."""

import difflib
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msnoah.deploy.environments.environment import Environment
from msnoah.deploy.environments.installation import make_environment, plan_environment, remove_environment
from msnoah.deploy.environments.table import ENVIRONMENTS
from msnoah.deploy.environments.this_python import commands_to_install, commands_to_remove, run_pip
from msnoah.deploy.runtimes.base import Runtime
from msnoah.deploy.runtimes.table import RUNTIMES
from msnoah.errors import RuntimeUnavailableError

Tell = Callable[[str], None]
"""Takes the lines that say what will be done, before it is."""


@dataclass(frozen=True)
class Change:
    """What became of a name: its state in words, the packages that are here of it, and where."""

    name: str
    state: str
    folder: str
    versions: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        found = self.versions.get(self.name) or ", ".join(map(" ".join, self.versions.items()))
        return f"{' '.join(filter(None, (self.name, found)))}: {self.state}, {self.folder}"


def check_names(verb: str, names: Sequence[str]) -> None:
    """RuntimeUnavailableError at the first name that nothing is known of, with the nearest, or where there is none."""
    known = list(dict.fromkeys([*RUNTIMES, *ENVIRONMENTS]))
    if not names:
        raise RuntimeUnavailableError(f"{verb} what? Known: {', '.join(known)}")
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            nearest = f"did you mean '{close[0]}'? " if close else ""
            raise RuntimeUnavailableError(f"cannot {verb} '{name}'; {nearest}known: {', '.join(known)}")


def install(name: str, tell: Tell, dry: bool = False) -> Change:
    """Puts in what is missing of a name that `check_names` knows; only says how if it is a dry run.

    Raises:
        RuntimeUnavailableError: no Python for it, or no place that can be written.
        ToolError: a command failed; its last line.
    """
    done = "not installed" if dry else "installed"
    if name in ENVIRONMENTS:
        return _install_environment(ENVIRONMENTS[name], tell, dry, done)
    runtime = RUNTIMES[name]
    commands = commands_to_install(runtime)
    _carry_out(runtime, commands, tell, dry)
    return Change(name, done if commands else "was here", sys.prefix, _versions(runtime))


def remove(name: str, tell: Tell, dry: bool = False) -> Change:
    """Takes away what is here of a name that `check_names` knows; only says how if it is a dry run.

    Raises:
        RuntimeUnavailableError: nothing is here of it, or msnoah itself needs it.
        ToolError: pip failed; its last line.
    """
    done = "not removed" if dry else "removed"
    if name in ENVIRONMENTS:
        home = ENVIRONMENTS[name].home
        tell(f"{name}: removes {home}")
        if not dry:
            remove_environment(ENVIRONMENTS[name])
        return Change(name, done, str(home))
    _carry_out(RUNTIMES[name], commands_to_remove(RUNTIMES[name]), tell, dry)
    return Change(name, done, sys.prefix)


def _install_environment(environment: Environment, tell: Tell, dry: bool, done: str) -> Change:
    try:
        return Change(environment.name, "was here", str(environment.folder), environment.find().versions)
    except RuntimeUnavailableError:
        plan = plan_environment(environment)
    tell(str(plan))
    versions = {} if dry else make_environment(plan).versions
    return Change(environment.name, done, str(environment.folder), versions)


def _carry_out(runtime: Runtime, commands: Sequence[tuple[str, ...]], tell: Tell, dry: bool) -> None:
    for command in commands:
        tell(f"  {shlex.join(command)}")
    if commands and not dry:
        run_pip(runtime, commands)


def _versions(runtime: Runtime) -> dict[str, str]:
    """{package: version} of what is here of a runtime."""
    found = {}
    for requirement in runtime.requirements:
        try:
            found[requirement.package] = requirement.installed_version()
        except RuntimeUnavailableError:
            continue
    return found
