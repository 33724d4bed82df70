"""How the report writes figures; what a record lacks is 'unknown', since a gap must not cost the page."""

from collections.abc import Callable
from typing import Any


def number(value: Any) -> float | None:
    """The value if it is a number, else None."""
    return value if isinstance(value, (int, float)) else None


def percent(value: Any) -> str:
    """A share (0-1) in percent."""
    return f"{value:.1%}" if number(value) is not None else "unknown"


def count(value: Any) -> str:
    """A number with its thousands apart."""
    return f"{value:,}" if number(value) is not None else "unknown"


def unit(value: float | None, name: str) -> str | None:
    """A figure with its unit; None stays None."""
    return None if value is None else f"{value:,.6g} {name}".strip()


def duration(seconds: float) -> str:
    """Seconds in the largest unit of which there are at least two."""
    for name, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} s"


FILTERS: dict[str, Callable[[Any], str]] = {"percent": percent, "count": count}
