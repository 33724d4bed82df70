"""Two measurements side by side, or two artifacts measured against each other here and now: gates for a CI."""

import argparse
from pathlib import Path

from msnoah.commands.records import declare_json, print_record
from msnoah.errors import MsnoahError


def compare(arguments: argparse.Namespace) -> None:
    """Compares the latency of two runs or two profiles; exit 1 if b is slower than a by more than allowed.

    With --remeasure both artifacts are measured again, in turns, until the answer is certain; exit 1 also if it is not
    within the time limit.
    """
    from msnoah.deploy.quantities import parse_percentage

    limit = parse_percentage(arguments.max_regression) if arguments.max_regression else None
    comparison = _remeasure(arguments, limit) if arguments.remeasure else _compare_profiles(arguments, limit)
    print_record(comparison.to_record(), arguments, text=comparison.text())
    comparison.check()


def declare_compare(parser: argparse.ArgumentParser) -> None:
    """The arguments of compare."""
    parser.add_argument("a", help="the baseline: a run folder or a profile's JSON; with --remeasure, or an .onnx file")
    parser.add_argument("b", help="what is compared with it")
    parser.add_argument(
        "--max-regression", metavar="PERCENT", help="how much slower b may be, as in 5%%; exit 1 beyond it")
    parser.add_argument(
        "--metric", choices=("cpu", "wall"),
        help="which time is compared (default: wall of profiles, which have both; cpu of what is measured again)")
    parser.add_argument("--remeasure", action="store_true", help="measure both again, here and in turns")
    again = parser.add_argument_group("with --remeasure")
    again.add_argument("--runtime", metavar="NAME", help="in which both are measured (default: onnxruntime)")
    again.add_argument("--threads", type=int, metavar="N", help="default: 1")
    again.add_argument("--time-limit", metavar="TIME", help="undecided after it (default: 60s)")
    again.add_argument("--confidence", metavar="PERCENT", help="of the verdict (default: 99%%)")
    declare_json(parser)


def _compare_profiles(arguments: argparse.Namespace, limit: float | None):
    from msnoah.deploy.comparison import compare as compare_profiles

    for name in ("runtime", "threads", "time_limit", "confidence"):
        if getattr(arguments, name) is not None:
            raise MsnoahError(f"--{name.replace('_', '-')} goes with --remeasure; profiles say how they were measured")
    return compare_profiles(arguments.a, arguments.b, max_regression=limit, metric=arguments.metric or "wall")


def _remeasure(arguments: argparse.Namespace, limit: float | None):
    from msnoah.deploy.gate import Plan, open_side, remeasure
    from msnoah.deploy.quantities import parse_duration, parse_percentage

    chosen = {"runtime": arguments.runtime, "threads": arguments.threads, "metric": arguments.metric,
              "time_limit_s": parse_duration(arguments.time_limit) if arguments.time_limit else None,
              "confidence": parse_percentage(arguments.confidence) if arguments.confidence else None}
    given = {key: value for key, value in chosen.items() if value is not None}
    plan = Plan(max_regression=limit, **given)
    before, after = (open_side(Path(side), plan.runtime) for side in (arguments.a, arguments.b))
    return remeasure(before, after, plan)
