"""The inference runtimes: which are here, what is missing, and the command that gets it."""

import argparse

from msnoah.commands.records import declare_json, print_record


def runtimes(arguments: argparse.Namespace) -> None:
    """Lists the runtimes of `msnoah profile`: what each runs and is for, its version, or what is missing.

    Each is imported in a process of its own, so that one that crashes costs its own line.
    """
    from msnoah.deploy.runtimes.availability import availability_table, check_runtimes

    states = check_runtimes(arguments.names)
    print_record([state.model_dump() for state in states], arguments, text=availability_table(states))


def declare_runtimes(parser: argparse.ArgumentParser) -> None:
    """The arguments of runtimes."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="of one runtime; all if none is given")
    declare_json(parser)
