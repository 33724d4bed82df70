"""The latency table that `msnoah profile` prints and the report keeps: text, Markdown or CSV of the same columns."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msnoah.deploy.profile import LOCAL, Profile
from msnoah.text_table import align_table


@dataclass(frozen=True)
class Column:
    """A heading with its unit, and how a profile's cell reads; None is a figure that was not to be had."""

    title: str
    cell: Callable[[Profile], str | None]


def _ms(q: float, metric: str) -> Callable[[Profile], str]:
    return lambda profile: format_ms(profile.percentile(q, metric))


def format_ms(value: float) -> str:
    """Milliseconds to three significant digits, never in exponents: 0.0412, 3.14, 128."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:#.3g}" if value >= 0.001 else f"{value:.4f}"


def format_size(size_bytes: float) -> str:
    """Bytes in decimal units to three significant digits: 812 B, 22.3 MB."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"


def _parity(profile: Profile) -> str | None:
    if profile.parity is None:
        return None
    return f"{profile.parity.max_rel:.1e}" + (" WRONG" if profile.parity.is_wrong(profile.precision) else "")


def _calm(profile: Profile) -> str | None:
    """The median of calm rounds, with how far its interval reaches."""
    return format_ms(profile.estimate("cpu").ms) if profile.reference_ms is not None else None


def _calm_rounds(profile: Profile) -> str | None:
    found = profile.estimate("cpu")
    return f"{found.calm}/{found.rounds}" if profile.reference_ms is not None else None


def _spread(profile: Profile) -> str | None:
    width = profile.estimate("cpu").width
    return f"{width:.1%}" if math.isfinite(width) else None


def _energy(profile: Profile) -> str | None:
    return None if profile.energy_j is None else f"{profile.energy_j * 1e3:.3g}"


COLUMNS = (
    Column("runtime", lambda profile: profile.runtime),
    Column("device", lambda profile: profile.device_name),
    Column("threads", lambda profile: str(profile.threads)),
    Column("batch", lambda profile: str(profile.batch_size)),
    Column("precision", lambda profile: profile.precision),
    Column("p50 wall ms", _ms(50, "wall")),
    Column("p90 wall ms", _ms(90, "wall")),
    Column("p99 wall ms", _ms(99, "wall")),
    Column("p50 CPU ms", _ms(50, "cpu")),
    Column("p90 CPU ms", _ms(90, "cpu")),
    Column("calm p50 CPU ms", _calm),
    Column("interval", _spread),
    Column("calm rounds", _calm_rounds),
    Column("first run ms", lambda profile: format_ms(profile.first_run_ms)),
    Column("peak MiB", lambda profile: None if profile.peak_memory_mb is None else f"{profile.peak_memory_mb:.0f}"),
    Column("size", lambda profile: format_size(profile.size_bytes)),
    Column("mJ a run", _energy),
    Column("parity", _parity),
    Column("verified", lambda profile: {True: "yes", False: "NO", None: "unknown"}[profile.verified]),
)


SELDOM = ("device", "calm p50 CPU ms", "interval", "calm rounds", "mJ a run")
"""Columns that the text leaves out where no row has them, or all were measured here."""


def table_cells(profiles: Sequence[Profile]) -> list[list[str]]:
    """The rows of the table as text, without the headings; '-' is a figure that was not to be had."""
    return [[column.cell(profile) or "-" for column in COLUMNS] for profile in profiles]


def latency_table(profiles: Sequence[Profile]) -> str:
    """Aligned plain text: the runtime to the left, figures to the right; below, sustained curves and warnings."""
    cells = [[column.title for column in COLUMNS], *table_cells(profiles)]
    shown = [column for column in zip(*cells) if column[0] not in SELDOM or not set(column[1:]) <= {"-", LOCAL}]
    lines = align_table(list(zip(*shown)))
    warnings = [f"warning: {words}" for words in gather_warnings(profiles)]
    curves = [f"sustained: {one.label}: {one.sustained.describe()}" for one in profiles if one.sustained]
    return "\n".join([*lines, *curves, *warnings])


def gather_warnings(profiles: Sequence[Profile]) -> list[str]:
    """What is to be known of each row, in words; what holds for several is one line, with their labels."""
    found: dict[str, list[str]] = {}
    for profile in profiles:
        for words in profile.warnings():
            found.setdefault(words, []).append(profile.label)
    everyone = len(profiles) if len(profiles) > 1 else 0
    return [f"{'all rows' if len(labels) == everyone else '; '.join(labels)}: {words}" for words, labels in found.items()]


def format_markdown(profiles: Sequence[Profile]) -> str:
    """The table in Markdown, without the warnings."""
    return markdown_table([[column.title for column in COLUMNS], *table_cells(profiles)])


def format_csv(profiles: Sequence[Profile]) -> str:
    """The table as comma-separated values; an unknown figure is an empty cell."""
    rows = [[column.cell(profile) for column in COLUMNS] for profile in profiles]
    return csv_table([[column.title for column in COLUMNS], *rows])


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells, the headings first, as a Markdown table; what could end a cell is escaped."""
    heading, *rows = lines
    rules = [":--", *["--:"] * (len(heading) - 1)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
                     for line in (heading, rules, *rows)) + "\n"


def csv_table(lines: Sequence[Sequence[str | None]]) -> str:
    """Lines of cells, the headings first, as comma-separated values; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
