"""One self-contained HTML page about a run, and its latency table as Markdown and CSV."""

from pathlib import Path

import jinja2

from msnoah.atomic_file import write_text
from msnoah.deploy.latency_table import format_csv, format_markdown, format_size
from msnoah.deploy.profile import Profile, load_profile
from msnoah.deploy.report.content import gather
from msnoah.deploy.report.formats import FILTERS
from msnoah.errors import RunFolderError
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


def render(run: RunFolder, profiles: list[Profile]) -> str:
    """The page as text; RunFolderError where a record has another shape than its writer gives it."""
    # Chainable: a key that an older export.json lacks leaves a gap instead of costing the report.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.ChainableUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters.update(FILTERS, size=format_size)
    try:
        return environment.get_template("report.html.jinja").render(gather(run, profiles))
    except (LookupError, TypeError, AttributeError, ValueError, jinja2.UndefinedError) as error:
        files = "history.jsonl, evaluation.json or export.json"
        raise RunFolderError(f"{run.path}: {files} is damaged: {type(error).__name__}: {error}") from error
