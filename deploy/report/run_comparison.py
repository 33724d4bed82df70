"""What the comparison of runs, runtimes and devices shows, arranged for its template."""

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import msnoah
from msnoah.deploy.latency_table import COLUMNS, format_ms, table_cells
from msnoah.deploy.operator_families import family_times
from msnoah.deploy.profile import Profile
from msnoah.deploy.report.charts import Mark
from msnoah.deploy.report.entries import Entry
from msnoah.deploy.report.scatter import scatter_chart

Record = dict[str, Any]


def gather_comparison(entries: Sequence[Entry]) -> Record:
    """Everything that the template shows of these rows; a section without facts is empty."""
    titles, *cells = comparison_table(entries)
    return {
        "runs": list(dict.fromkeys(entry.run for entry in entries)),
        "devices": list(dict.fromkeys(_device(entry.profile) for entry in entries)),
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "version": msnoah.__version__,
        "titles": titles, "cells": cells,
        "charts": _charts(entries), "memory": _memory_rows(entries), "operators": _operator_stacks(entries),
        "warnings": [f"{entry.label}: {words}" for entry in entries for words in entry.profile.warnings()],
        "circumstances": _circumstances(entries),
    }


def comparison_table(entries: Sequence[Entry]) -> list[list[str]]:
    """Headings and rows: the run, the columns of a latency table, the accuracy.

    '-' is a figure that was not to be had; a column of nothing else is left out.
    """
    cells = table_cells([entry.profile for entry in entries])
    rows = [[entry.run, *row, _score_text(entry)] for entry, row in zip(entries, cells, strict=True)]
    columns = zip(["run", *(column.title for column in COLUMNS), "accuracy"], *rows, strict=True)
    return [list(line) for line in zip(*(column for column in columns if set(column[1:]) != {"-"}))]


def _score_text(entry: Entry) -> str:
    return f"{entry.score.value:.2%} {entry.score.measure}" if entry.score else "-"


def _charts(entries: Sequence[Entry]) -> list[Record]:
    """Accuracy over latency, a chart for each measure of accuracy and device: neither can share an axis."""
    charts: dict[tuple[str, str], dict[str, list[Mark]]] = {}
    for entry in entries:
        if entry.score:
            place = charts.setdefault((entry.score.measure, entry.profile.device_name), {})
            mark = Mark(entry.profile.percentile(50), 100 * entry.score.value, _short(entry.profile))
            place.setdefault(entry.run, []).append(mark)
    return [{"title": f"{measure} (%) over latency on {device}",
             "chart": scatter_chart(groups, "milliseconds a run, median wall time", f"{measure} (%)")}
            for (measure, device), groups in charts.items()]


def _short(profile: Profile) -> str:
    precision = "" if profile.precision == "float32" else f" {profile.precision}"
    return f"{profile.runtime}{precision} ×{profile.threads}"


def _memory_rows(entries: Sequence[Entry]) -> list[Record]:
    known = [(entry, entry.profile.peak_memory_mb) for entry in entries if entry.profile.peak_memory_mb is not None]
    most = max((mb for _, mb in known), default=1.0)
    return [{"label": entry.label, "mb": f"{mb:,.0f}", "share": mb / most} for entry, mb in known]


def _operator_stacks(entries: Sequence[Entry]) -> Record:
    """Times by family of operators side by side: lengths are milliseconds, colours the same family in every row."""
    timed = [(entry, family_times(entry.profile.operators)) for entry in entries if entry.profile.operators]
    if not timed:
        return {}
    longest = max(sum(times.values()) for _, times in timed)
    rows = [{"label": entry.label, "total": format_ms(sum(times.values())), "parts": _parts(times, longest)}
            for entry, times in timed]
    return {"rows": rows, "legend": list(timed[0][1])}


def _parts(times: dict[str, float], longest: float) -> list[Record]:
    return [{"kind": family, "ms": format_ms(ms), "share": ms / longest, "colour": colour}
            for colour, (family, ms) in enumerate(times.items()) if ms]


def _device(profile: Profile) -> str:
    device = profile.device
    return f"{profile.device_name}: {device.chip or 'an unnamed chip'} ({device.architecture}, {device.cores} cores)"


def _circumstances(entries: Sequence[Entry]) -> list[Record]:
    """What every row was measured in, on one line each."""
    return [{"label": entry.label, "words": _words(entry.profile)} for entry in entries]


def _words(profile: Profile) -> str:
    load = profile.device.load_average
    return (f"{profile.runtime} {profile.version}, {profile.thread_control}; {profile.artifact} {profile.sha256[:12]}; "
            f"{profile.repeats} runs after {profile.warmup}; load {'unknown' if load is None else load} before; "
            f"{profile.started}; msnoah {profile.msnoah}, commit {(profile.commit or 'unknown')[:12]}")
