"""Percentages and durations as options write them: 5%, 90s, 5min."""

import math
import re

from msnoah.errors import ProfileError

SECONDS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}
LONGEST_S = 86400.0
"""A day: more is a slip of the pen."""


def parse_percentage(text: str) -> float:
    """`5%` -> 0.05; ProfileError for what is not a percentage of 0 or more."""
    number, sign, rest = text.strip().partition("%")
    try:
        value = float(number) / 100
    except ValueError:
        value = math.nan
    if not sign or rest or not math.isfinite(value) or value < 0:
        raise ProfileError(f"'{text}' is not a percentage; expected one such as 5%")
    return value


def parse_duration(text: str) -> float:
    """`90`, `90s`, `5min` or `1h` -> seconds; ProfileError for anything else, and for more than a day."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?(s|min|h)?", text.strip(), re.ASCII)
    value = float(found[1]) * SECONDS[found[2] or ""] if found else math.inf
    if value > LONGEST_S:
        raise ProfileError(f"'{text}' is not a duration of at most a day; expected one such as 90s or 5min")
    return value
