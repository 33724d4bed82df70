"""The table that `msnoah degrees` prints."""

from msnoah.degree_records import DegreeGrid, GridCell, GridRow


def describe_grid(grid: DegreeGrid) -> str:
    """A table of the accuracies, and what must be read with it."""
    names = [f"{row.run} (r={row.source_degree})" for row in grid.rows]
    lines = [[name, *(_cell_text(row, target, len(grid.scales) > 1) for target in grid.targets)]
             for name, row in zip(names, grid.rows)]
    table = [["trained at", *(f"r={target}" for target in grid.targets)], *lines]
    widths = [max(map(len, column)) for column in zip(*table)]
    text = ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip() for line in table]
    return "\n".join([_title(grid), *text, *_remarks(grid)])


def _title(grid: DegreeGrid) -> str:
    if not grid.scales:
        return "top-1 in percent by tokens merged a block (r)"
    scale = "best scale" if len(grid.scales) > 1 else f"scale {grid.scales[0]:g}"
    return f"top-1 in percent by tokens merged a block (r): plain > with ToCom at {scale} (gain in points)"


def _cell_text(row: GridRow, target: int, several: bool) -> str:
    cell = row.cells.get(target)
    if cell is None:
        return "-"
    plain = f"{100 * cell.plain:.2f}"
    return plain if cell.scale is None else f"{plain} > {_gain_text(cell, several)}"


def _gain_text(cell: GridCell, several: bool) -> str:
    scale = f" @{cell.scale:g}" if several else ""
    return f"{100 * cell.compensated:.2f} ({100 * cell.gain:+.2f}{scale})"


def _remarks(grid: DegreeGrid) -> list[str]:
    images = dict.fromkeys(f"{row.images:,} images of {row.data}, {row.classes} classes" for row in grid.rows)
    remarks = [f"On {'; '.join(images)}."]
    if len(images) > 1:
        remarks.append("The runs are of different data, so compare along rows, not down columns.")
    count = len(grid.mismatched())
    gains = [f"{100 * gain:+.2f} at scale {scale:g}" for scale, gain in grid.mean_gains().items()]
    if gains:
        remarks.append(f"Mean gain in points over the {count} cells of other degrees: {', '.join(gains)}.")
    if len(grid.scales) > 1:
        remarks.append("A cell's scale is the one that was best on these same images, as in the paper's code: its gain "
                       "is a little too good. The mean gains choose nothing by cell.")
    return remarks
