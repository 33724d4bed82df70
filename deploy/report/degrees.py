"""What a report says of degrees: accuracy by tokens merged in training and in evaluation, as heat maps and a table."""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from msnoah.degree_records import DegreeGrid, GridCell, arrange, read_results
from msnoah.deploy.report.confusion import GAP, INKS, LETTER, shorten
from msnoah.run_folder import RunFolder

Record = dict[str, Any]
Figure = Callable[[GridCell], float | None]
CELL_WIDTH, CELL_HEIGHT = 64, 34
HEAD = 46                   # pixels above the cells: the title of the columns and their names
COLUMNS_TITLE = "tokens merged a block in evaluation"
LEAST_SPAN = 0.02           # of accuracy: a smaller difference is not spread over all shades
LEAST_GAIN = 0.01           # of a gain: a smaller largest one does not get the darkest shade
MAPS: tuple[tuple[str, Figure, bool], ...] = (   # title, what a cell shows, whether it is a gain
    ("Plain merging: top-1 (%)", lambda cell: cell.plain, False),
    ("With ToCom: top-1 (%)", lambda cell: cell.compensated, False),
    ("Gain of ToCom (points)", lambda cell: cell.gain, True),
)


def gather_degrees(run: RunFolder) -> Record:
    """The results of the last `msnoah degrees`, arranged for the template; empty if there are none.

    Raises:
        RunFolderError: degrees.json is damaged.
    """
    settings, results = read_results(run.degrees_path)
    grid = arrange(result for result in results if settings.covers(result))
    if not grid.rows:
        return {}
    bounds = _bounds(grid)
    spans = {False: bounds[:2], True: (-bounds[2], bounds[2])}
    maps = [{"title": title, "chart": degree_chart(grid, title, figure, spans[gains])} for title, figure, gains in MAPS]
    return {
        "maps": [each for each in maps if each["chart"]], "targets": grid.targets, "rows": _table_rows(grid),
        "scales": grid.scales, "means": grid.mean_gains(), "count": len(grid.mismatched()), "settings": settings,
        "sets": list(dict.fromkeys((row.data, row.images, row.classes) for row in grid.rows)),
    }


def degree_chart(grid: DegreeGrid, title: str, figure: Figure, span: tuple[float, float]) -> Markup:
    """A heat map: rows are source runs, columns target degrees. Empty if no cell has the figure.

    Args:
        grid: what is drawn.
        title: for those who do not see it.
        figure: of a cell, as a share (0-1) or None.
        span: the figures without a shade and with the darkest one; a span from below 0 is of gains, shaded by size in
            two colours.
    """
    if all(figure(cell) is None for row in grid.rows for cell in row.cells.values()):
        return Markup("")
    names = [shorten(f"{row.run} (r = {row.source_degree})") for row in grid.rows]
    left = round(LETTER * max(map(len, names))) + 2 * GAP
    width = left + max(len(grid.targets) * CELL_WIDTH, round(LETTER * len(COLUMNS_TITLE)))
    height = HEAD + len(names) * CELL_HEIGHT
    body = [_text(left, 14, COLUMNS_TITLE, "start")]
    body += [_text(left + (i + 0.5) * CELL_WIDTH, HEAD - GAP, f"r = {r}") for i, r in enumerate(grid.targets)]
    for i, (name, row) in enumerate(zip(names, grid.rows)):
        y = HEAD + i * CELL_HEIGHT
        body.append(_text(left - GAP, y + CELL_HEIGHT / 2 + 4, name, "end"))
        body += [_cell(left + column * CELL_WIDTH, y, figure(row.cells[target]), span, target == row.source_degree)
                 for column, target in enumerate(grid.targets) if target in row.cells]
    return Markup(
        f'<svg class="heat" viewBox="0 0 {width} {height}" style="min-width:{0.7 * width:.0f}px;max-width:{width}px" '
        f'role="img" aria-label="{escape(title)}: rows source runs, columns tokens merged">{"".join(body)}</svg>')


def _bounds(grid: DegreeGrid) -> tuple[float, float, float]:
    """Least and largest accuracy of all maps, so that they share their shades; and the largest gain or loss."""
    cells = [cell for row in grid.rows for cell in row.cells.values()]
    values = [value for cell in cells for value in (cell.plain, cell.compensated) if value is not None]
    gain = max((abs(cell.gain) for cell in cells if cell.gain is not None), default=0.0)
    return min(min(values), max(values) - LEAST_SPAN), max(values), max(gain, LEAST_GAIN)


def _cell(x: int, y: int, value: float | None, span: tuple[float, float], matched: bool) -> str:
    place = f'x="{x}" y="{y}" width="{CELL_WIDTH - 1}" height="{CELL_HEIGHT - 1}"'
    body = f'<rect class="ground{" right" * matched}" {place}/>'
    if value is None:
        return f"<g>{body}</g>"
    is_gain = span[0] < 0
    share = min(abs(value) / span[1] if is_gain else max(value - span[0], 0) / (span[1] - span[0]), 1.0)
    ink = next(name for least, name in INKS if share >= least)
    fill = "heat-fill loss" if is_gain and value < 0 else "heat-fill"
    body += f'<rect class="{fill}" fill-opacity="{share:.3f}" {place}/>'
    text = f"{100 * value:+.2f}" if is_gain else f"{100 * value:.2f}"
    return f"<g>{body}{_text(x + CELL_WIDTH / 2, y + CELL_HEIGHT / 2 + 4, text, css=ink)}</g>"


def _text(x: float, y: float, text: str, anchor: str = "middle", css: str = "axis") -> str:
    return f'<text class="{css}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _table_rows(grid: DegreeGrid) -> list[Record]:
    """One row for each run and kind of figure, so that numbers stand under each other."""
    rows = []
    for row in grid.rows:
        cells = [row.cells.get(target) for target in grid.targets]
        figures = {"plain": [cell and cell.plain for cell in cells]}
        if grid.scales:
            figures |= {"with ToCom": [cell and cell.compensated for cell in cells]}
        rows += [{"run": row.run, "degree": row.source_degree, "kind": kind, "shares": shares}
                 for kind, shares in figures.items()]
        if len(grid.scales) > 1:
            scales = [cell and cell.scale for cell in cells]
            rows.append({"run": row.run, "degree": row.source_degree, "kind": "scale", "scales": scales})
    return rows
