"""Self-contained HTML pages, about a run or comparing several, and their tables as Markdown and CSV."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from msnoah.atomic_file import write_text
from msnoah.deploy.latency_table import csv_table, format_csv, format_markdown, format_size, markdown_table
from msnoah.deploy.profile import Profile, load_profile
from msnoah.deploy.report.content import gather
from msnoah.deploy.report.entries import gather_entries
from msnoah.deploy.report.formats import FILTERS
from msnoah.deploy.report.run_comparison import comparison_table, gather_comparison
from msnoah.errors import ProfileError, RunFolderError
from msnoah.run_folder import RunFolder


def write_report(run: RunFolder) -> Path:
    """Writes report.html from whatever the run holds, and latency.md and latency.csv where it was profiled.

    The page fetches nothing: its style and charts are inline, and everything that comes from files is escaped.

    Returns:
        The page's path.

    Raises:
        RunFolderError, ProfileError: a file of the run is damaged, or the folder cannot be written.
    """
    profiles = [load_profile(path) for path in run.profile_paths()]
    write_text(run.report_path, render(run, profiles))
    if profiles:
        write_text(run.path / "latency.md", format_markdown(profiles))
        write_text(run.path / "latency.csv", format_csv(profiles))
    return run.report_path


def write_comparison(runs: Sequence[RunFolder], path: Path) -> Path:
    """Writes a page that compares all rows of the runs, and its table beside it as .md and .csv.

    Returns:
        The page's path.

    Raises:
        ProfileError: a run that was not profiled, a damaged profile, or a path that does not end in .html.
        RunFolderError: a file of a run is damaged, or the page cannot be written.
    """
    if path.suffix != ".html":
        raise ProfileError(f"{path}: expected a name that ends in .html")
    entries = gather_entries(runs)
    lines = comparison_table(entries)
    write_text(path, _fill("comparison.html.jinja", gather_comparison(entries)))
    write_text(path.with_suffix(".md"), markdown_table(lines))
    write_text(path.with_suffix(".csv"), csv_table([["" if cell == "-" else cell for cell in line] for line in lines]))
    return path


def render(run: RunFolder, profiles: list[Profile]) -> str:
    """The page as text; RunFolderError where a record has another shape than its writer gives it."""
    try:
        return _fill("report.html.jinja", gather(run, profiles))
    except (LookupError, TypeError, AttributeError, ValueError, jinja2.UndefinedError) as error:
        files = "history.jsonl, evaluation.json or export.json"
        raise RunFolderError(f"{run.path}: {files} is damaged: {type(error).__name__}: {error}") from error


def _fill(template: str, content: dict[str, Any]) -> str:
    # Chainable: a key that an older export.json lacks leaves a gap instead of costing the report.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.ChainableUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters.update(FILTERS, size=format_size)
    return environment.get_template(template).render(content)
