"""Reports: one page about a run, or one that compares runs, runtimes and devices."""

import argparse
from pathlib import Path


def report(arguments: argparse.Namespace) -> None:
    """Writes one self-contained HTML page about a run, or one that compares several; prints its path.

    Tables lie beside the page as Markdown and CSV.
    """
    from msnoah.deploy.report import write_comparison, write_report
    from msnoah.run_folder import RunFolder

    runs = [RunFolder.open(path) for path in arguments.runs]
    if len(runs) == 1 and not arguments.output:
        print(write_report(runs[0]))
    else:
        print(write_comparison(runs, arguments.output or Path("comparison.html")))


def declare_report(parser: argparse.ArgumentParser) -> None:
    """The arguments of report."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders; several are compared")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.html",
        help="where a comparison goes (default: comparison.html); of one run too: all that it was profiled on")
