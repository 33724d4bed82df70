"""CPU time of what a demo did again and again, as a record and as a line."""

from collections.abc import Sequence

from msnoah.deploy.statistics import percentile


def summarise_times(times_ms: Sequence[float]) -> dict[str, float] | None:
    """p50 and p90 in milliseconds; None of nothing."""
    return {f"p{q}": percentile(times_ms, q) for q in (50, 90)} if times_ms else None


def describe_times(what: str, times: dict[str, float] | None) -> list[str]:
    """What `summarise_times` gives of, say, "an image" as a line; none of nothing."""
    return [f"CPU time of {what}: " + ", ".join(f"{q} {ms:.3g} ms" for q, ms in times.items())] if times else []
