"""Two measurements side by side, or two artifacts measured against each other here and now: the gate of a CI."""

import argparse

from msnoah.commands.records import declare_json, print_record


def compare(arguments: argparse.Namespace) -> None:
    """Compares the latency of two runs or two profiles; exit 1 if b is slower than a by more than allowed."""
    from msnoah.deploy.comparison import compare as compare_profiles
    from msnoah.deploy.quantities import parse_percentage

    limit = parse_percentage(arguments.max_regression) if arguments.max_regression else None
    comparison = compare_profiles(arguments.a, arguments.b, max_regression=limit, metric=arguments.metric)
    print_record(comparison.to_record(), arguments, text=comparison.table())
    comparison.check()


def declare_compare(parser: argparse.ArgumentParser) -> None:
    """The arguments of compare."""
    parser.add_argument("a", help="the baseline: a run folder or a profile's JSON")
    parser.add_argument("b", help="what is compared with it")
    parser.add_argument(
        "--max-regression", metavar="PERCENT", help="how much slower b may be, as in 5%%; exit 1 beyond it")
    parser.add_argument(
        "--metric", choices=("cpu", "wall"), default="wall", help="which time is compared (default: wall)")
    declare_json(parser)
