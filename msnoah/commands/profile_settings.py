"""How commands that measure latency come by their settings: the run's own, and options in their place."""

import argparse
from typing import Any

from msnoah.errors import MsnoahError

FIELDS = {"batch_size": "batch_size", "warmup": "warmup", "repeats": "repeats", "interval": "interval",
          "time_limit": "time_limit_s"}
"""Options of `declare_measuring`, and the fields of ProfileConfig that they set."""


def declare_measuring(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how well to measure."""
    parser.add_argument("--batch-size", type=int, metavar="N")
    parser.add_argument("--warmup", type=int, metavar="N", help="runs before the clock starts")
    parser.add_argument("--repeats", type=int, metavar="N", help="the least number of timed runs")
    parser.add_argument(
        "--interval", metavar="PERCENT",
        help="more runs until the 95 %% interval of each median CPU time is this wide at most (default: 2%%)")
    parser.add_argument(
        "--time-limit", metavar="TIME", help="or so much time has passed, as in 60s; 0: no more than --repeats")


def chosen_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fields of ProfileConfig that the options of `declare_measuring` set.

    Raises:
        ProfileError: a percentage or a duration that is none.
    """
    from msnoah.deploy.quantities import parse_duration, parse_percentage

    readers = {"interval": parse_percentage, "time_limit": parse_duration}
    given = {option: getattr(arguments, option) for option in FIELDS if getattr(arguments, option) is not None}
    return {FIELDS[option]: readers.get(option, lambda value: value)(value) for option, value in given.items()}


def profile_settings(run, overrides: dict[str, Any]):
    """The ProfileConfig of a RunFolder, or the defaults if `run` is None, with other values for some fields.

    Raises:
        RuntimeUnavailableError: an unknown runtime.
        MsnoahError: a value out of range.
    """
    from pydantic import ValidationError

    from msnoah.config import ProfileConfig
    from msnoah.deploy.runtimes.table import find_runtime

    for name in overrides.get("runtimes", ()):
        find_runtime(name)
    base = run.config().profile.model_dump() if run else {}
    try:
        return ProfileConfig(**{**base, **overrides})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise MsnoahError(f"{where}: {fault['msg']}, found {fault['input']!r}") from None
