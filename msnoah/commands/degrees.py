"""Accuracy of runs by how many tokens they merge, as a table."""

import argparse
import dataclasses

from msnoah.commands.records import declare_json, print_record
from msnoah.degree_records import DegreeGrid, GridCell, GridRow, arrange

DEFAULT_SCALE = 0.1


def degrees(arguments: argparse.Namespace) -> None:
    """Evaluates runs at other numbers of merged tokens than they were trained with, without and with ToCom's plugin.

    Results go to degrees.json of each run, and of the plugin's run, as they are found; a second call goes on there.
    """
    from msnoah.run_folder import RunFolder
    from msnoah.training.degree_grid import evaluate_degrees

    results = evaluate_degrees(
        [RunFolder.open(run) for run in arguments.runs], arguments.tokens_merged, plugin=arguments.plugin,
        scales=arguments.tocom_scale, views=arguments.views, limit=arguments.limit, device=arguments.device)
    rows = [dataclasses.asdict(result) for result in results]
    print_record(rows, arguments, text=describe_grid(arrange(results)))


def declare_degrees(parser: argparse.ArgumentParser) -> None:
    """The arguments of degrees."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, each trained at some degree")
    parser.add_argument("--plugin", metavar="FILE_OR_RUN", help="ToCom's plugin: a weights file, or its run")
    parser.add_argument(
        "--tokens-merged", type=_integers, required=True, metavar="N[,N...]",
        help="by a block in evaluation, as in 0,4,8")
    parser.add_argument(
        "--tocom-scale", type=_numbers, default=[DEFAULT_SCALE], metavar="X[,X...]",
        help=f"how much of the plugin is added (default {DEFAULT_SCALE}); plain merging is always evaluated")
    parser.add_argument("--views", choices=("val", "test"), default="val", help="of the config (default: val)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N images of each split, spread evenly over it")
    parser.add_argument("--device", choices=("CPU", "GPU", "Ascend"), help="default: that of the first run's config")
    declare_json(parser)


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


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]
