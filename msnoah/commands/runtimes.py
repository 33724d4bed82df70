"""The inference runtimes: which are here, what is missing, and how each is put in and taken away."""

import argparse
import sys

from msnoah.commands.records import declare_json, print_record

VERBS = ("install", "remove")
USAGE = ("msnoah runtimes [-h] [--json] [NAME ...]",
         "msnoah runtimes {install,remove} NAME ... [--dry-run] [--json]")


def runtimes(arguments: argparse.Namespace) -> None:
    """Lists the runtimes of `msnoah profile`; with install or remove before a name, gets one or takes it away.

    Of each runtime: what it runs and is for, its version, or what is missing. Each is imported in a process of its own,
    so that one that crashes costs its own line. `install` prints the commands that it runs first; with --dry-run it
    runs none. Packages that do not go with msnoah's get an environment of their own, under ~/.local/share/msnoah or
    $MSNOAH_HOME.
    """
    if arguments.words and arguments.words[0] in VERBS:
        _change(*arguments.words, arguments=arguments)
    else:
        _list(arguments)


def declare_runtimes(parser: argparse.ArgumentParser) -> None:
    """The arguments of runtimes."""
    parser.usage = "\n       ".join(USAGE)
    parser.add_argument("words", nargs="*", metavar="NAME", help="of one runtime; all if none is given")
    parser.add_argument("--dry-run", action="store_true", help="of install and remove: print the commands, run none")
    declare_json(parser)


def _list(arguments: argparse.Namespace) -> None:
    from msnoah.deploy.runtimes.availability import availability_table, check_runtimes

    states = check_runtimes(arguments.words)
    print_record([state.model_dump() for state in states], arguments, text=availability_table(states))


def _change(verb: str, *names: str, arguments: argparse.Namespace) -> None:
    from msnoah.deploy.environments import packages

    packages.check_names(verb, names)
    act = {"install": packages.install, "remove": packages.remove}[verb]
    changes = [act(name, lambda line: print(line, file=sys.stderr), arguments.dry_run) for name in names]
    print_record([vars(change) for change in changes], arguments, text="\n".join(map(str, changes)))
