"""What a report says of minutes without a pause: the curves of CPU time, temperature and clock."""

from collections.abc import Sequence
from typing import Any

from msnoah.deploy.profile import Profile
from msnoah.deploy.report.charts import Series, line_chart
from msnoah.deploy.sustained import Window

Record = dict[str, Any]
CURVES = {"CPU time of a run (ms)": "p50_cpu_ms", "Temperature (°C)": "temperature_c", "Clock (MHz)": "frequency_mhz"}
"""Titles of the charts, and what of a window they show."""


def gather_sustained(profiles: Sequence[Profile]) -> Record:
    """The charts over minutes, each with a line for every profile that ran on and on; empty without such profiles."""
    chosen = [profile for profile in profiles if profile.sustained]
    if not chosen:
        return {}
    charts = [{"title": title, "chart": _chart(chosen, field, title)} for title, field in CURVES.items()]
    return {"charts": [one for one in charts if one["chart"]],
            "lines": [{"label": profile.label, "words": profile.sustained.describe(),
                       "bad": profile.sustained.throttled} for profile in chosen]}


def _chart(profiles: Sequence[Profile], field: str, title: str):
    series = [Series(profile.label, _points(profile.sustained.windows, field)) for profile in profiles]
    return line_chart(series, f"minutes; {title[0].lower()}{title[1:]}", y_from_zero=False)


def _points(windows: Sequence[Window], field: str) -> list[tuple[float, float | None]]:
    return [(window.t_s / 60, getattr(window, field)) for window in windows]
