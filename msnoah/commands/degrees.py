"""Accuracy of runs by how many tokens they merge."""

import argparse
import dataclasses

from msnoah.commands.records import declare_json, print_record

DEFAULT_SCALE = 0.1


def degrees(arguments: argparse.Namespace) -> None:
    """Evaluates runs at other numbers of merged tokens than they were trained with, without and with ToCom's plugin.

    Results go to degrees.json of each run, and of the plugin's run, as they are found; a second call goes on there.
    """
    from msnoah.degree_records import arrange
    from msnoah.degree_table import describe_grid
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


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]
