"""The command line: every command loads, calls and prints; results go to stdout, progress and errors to stderr.

Exit codes: 0 = done, 1 = it ran and the answer is bad, 2 = wrong use, 130 = interrupted.
"""

import argparse
import os
import sys
from collections.abc import Callable

from msnoah.commands.artifacts import declare_export, export
from msnoah.commands.build_runner import build_runner, declare_build_runner
from msnoah.commands.check import check, declare_check
from msnoah.commands.ckpt import ckpt, declare_ckpt
from msnoah.commands.compare import compare, declare_compare
from msnoah.commands.conversion import convert, declare_convert, declare_verify, verify
from msnoah.commands.degrees import declare_degrees, degrees
from msnoah.commands.demo import declare_demo, demo
from msnoah.commands.devices import declare_devices, devices
from msnoah.commands.evaluation import declare_eval, evaluate
from msnoah.commands.models import declare_models, models
from msnoah.commands.profile import declare_profile, profile
from msnoah.commands.quantize import declare_quantize, quantize
from msnoah.commands.report import declare_report, report
from msnoah.commands.runtimes import declare_runtimes, runtimes
from msnoah.commands.training import declare_train, train
from msnoah.commands.tune import declare_tune, tune
from msnoah.errors import MsnoahError

Arguments = argparse.Namespace


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code; an MsnoahError costs one line, never a traceback."""
    arguments = build_parser().parse_args(argv)
    # Read when MindSpore is imported: its warnings would drown the progress bars. A user's own level wins.
    os.environ.setdefault("GLOG_v", "3")
    try:
        arguments.command(arguments)
    except MsnoahError as error:
        print(f"msnoah {arguments.name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"msnoah {arguments.name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands, from the COMMANDS table."""
    parser = argparse.ArgumentParser(prog="msnoah", description="Train from a YAML, export verified MindIR and ONNX, profile latency.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (command, declare) in COMMANDS.items():
        summary = command.__doc__.split("\n")[0]
        subparser = commands.add_parser(name, help=summary, description=command.__doc__)
        declare(subparser)
        subparser.set_defaults(command=command, name=name)
    return parser


def _version() -> str:
    from msnoah import __version__

    return f"msnoah {__version__}"


COMMANDS: dict[str, tuple[Callable[[Arguments], None], Callable[[argparse.ArgumentParser], None]]] = {
    "train": (train, declare_train),
    "eval": (evaluate, declare_eval),
    "degrees": (degrees, declare_degrees),
    "export": (export, declare_export),
    "quantize": (quantize, declare_quantize),
    "convert": (convert, declare_convert),
    "verify": (verify, declare_verify),
    "check": (check, declare_check),
    "profile": (profile, declare_profile),
    "tune": (tune, declare_tune),
    "compare": (compare, declare_compare),
    "report": (report, declare_report),
    "ckpt": (ckpt, declare_ckpt),
    "demo": (demo, declare_demo),
    "models": (models, declare_models),
    "runtimes": (runtimes, declare_runtimes),
    "build-runner": (build_runner, declare_build_runner),
    "devices": (devices, declare_devices),
}
