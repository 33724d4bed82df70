"""The inference runtimes: which are here, what is missing, and how each is put in and taken away."""

import argparse
import difflib
import shlex
import sys

from msnoah.commands.records import declare_json, print_record
from msnoah.errors import RuntimeUnavailableError


def runtimes(arguments: argparse.Namespace) -> None:
    """Lists the runtimes of `msnoah profile`; with install or remove before a name, gets one or takes it away.

    Of each runtime: what it runs and is for, its version, or what is missing. Each is imported in a process of its own,
    so that one that crashes costs its own line. `install` prints the commands that it runs first; with --dry-run it runs
    none. Packages that do not go with msnoah's get an environment of their own, under ~/.local/share/msnoah or
    $MSNOAH_HOME.
    """
    verb, *names = arguments.words or [""]
    if verb in VERBS:
        VERBS[verb](_check_names(verb, names), arguments)
    else:
        _list(arguments.words, arguments)


def declare_runtimes(parser: argparse.ArgumentParser) -> None:
    """The arguments of runtimes."""
    parser.usage = "msnoah runtimes [-h] [--json] [NAME ...]\n       msnoah runtimes {install,remove} NAME ... [--dry-run] [--json]"
    parser.add_argument("words", nargs="*", metavar="NAME", help="of one runtime; all if none is given")
    parser.add_argument("--dry-run", action="store_true", help="of install and remove: print the commands, run none")
    declare_json(parser)


def _list(names: list[str], arguments: argparse.Namespace) -> None:
    from msnoah.deploy.runtimes.availability import availability_table, check_runtimes

    states = check_runtimes(names)
    print_record([state.model_dump() for state in states], arguments, text=availability_table(states))


def _install(names: list[str], arguments: argparse.Namespace) -> None:
    from msnoah.deploy.environments.table import ENVIRONMENTS

    records = [(_install_environment if name in ENVIRONMENTS else _install_packages)(name, arguments.dry_run)
               for name in names]
    print_record(records, arguments, text="\n".join(_told(record) for record in records))


def _install_environment(name: str, dry: bool) -> dict:
    from msnoah.deploy.environments.installation import make_environment, plan_environment
    from msnoah.deploy.environments.table import ENVIRONMENTS

    environment = ENVIRONMENTS[name]
    try:
        versions = environment.find().versions
        state = "was here"
    except RuntimeUnavailableError:
        plan = plan_environment(environment)
        print(plan, file=sys.stderr)
        versions = {} if dry else make_environment(plan).versions
        state = "not installed" if dry else "installed"
    return {"name": name, "state": state, "versions": versions, "folder": str(environment.folder)}


def _install_packages(name: str, dry: bool) -> dict:
    from msnoah.deploy.environments.this_python import commands_to_install, run_pip
    from msnoah.deploy.runtimes.table import find_runtime

    runtime = find_runtime(name)
    commands = commands_to_install(runtime)
    _show(commands)
    if commands and not dry:
        run_pip(runtime, commands)
    state = "was here" if not commands else "not installed" if dry else "installed"
    return {"name": name, "state": state, "versions": _versions(runtime), "folder": sys.prefix}


def _remove(names: list[str], arguments: argparse.Namespace) -> None:
    from msnoah.deploy.environments.installation import remove_environment
    from msnoah.deploy.environments.table import ENVIRONMENTS
    from msnoah.deploy.environments.this_python import commands_to_remove, run_pip
    from msnoah.deploy.runtimes.table import find_runtime

    records = []
    for name in names:
        if name in ENVIRONMENTS:
            folder = ENVIRONMENTS[name].home
            print(f"{name}: removes {folder}", file=sys.stderr)
            if not arguments.dry_run:
                remove_environment(ENVIRONMENTS[name])
        else:
            runtime, folder = find_runtime(name), sys.prefix
            commands = commands_to_remove(runtime)
            _show(commands)
            if not arguments.dry_run:
                run_pip(runtime, commands)
        state = "not removed" if arguments.dry_run else "removed"
        records.append({"name": name, "state": state, "versions": {}, "folder": str(folder)})
    print_record(records, arguments, text="\n".join(_told(record) for record in records))


def _show(commands: list[tuple[str, ...]]) -> None:
    for command in commands:
        print(f"  {shlex.join(command)}", file=sys.stderr)


def _versions(runtime) -> dict[str, str]:
    """{package: version} of what is here of a runtime."""
    found = {}
    for requirement in runtime.requirements:
        try:
            found[requirement.package] = requirement.installed_version()
        except RuntimeUnavailableError:
            continue
    return found


def _told(record: dict) -> str:
    version = record["versions"].get(record["name"]) or ", ".join(map(" ".join, record["versions"].items()))
    return f"{record['name']} {version}: {record['state']}, {record['folder']}".replace(" :", ":")


def _check_names(verb: str, names: list[str]) -> list[str]:
    """The names, all of which must be known before anything is done."""
    from msnoah.deploy.environments.table import ENVIRONMENTS
    from msnoah.deploy.runtimes.table import RUNTIMES

    known = list(dict.fromkeys([*RUNTIMES, *ENVIRONMENTS]))
    if not names:
        raise RuntimeUnavailableError(f"{verb} what? Known: {', '.join(known)}")
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            nearest = f"did you mean '{close[0]}'? " if close else ""
            raise RuntimeUnavailableError(f"cannot {verb} '{name}'; {nearest}known: {', '.join(known)}")
    return names


VERBS = {"install": _install, "remove": _remove}
