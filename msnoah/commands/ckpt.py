"""Checkpoints: compressed by ExCP, restored, looked into, and converted."""

import argparse
from collections.abc import Callable
from pathlib import Path

from msnoah.commands.compression_cost import declare_measure, measure
from msnoah.commands.records import declare_json, print_record

SETTINGS = ("tau", "alpha", "cap", "beta", "bits")
"""Fields of ExcpSettings that have an option of the same name."""


def ckpt(arguments: argparse.Namespace) -> None:
    """Compresses training checkpoints into a chain, restores, inspects and measures them; converts weights."""
    arguments.action(arguments)


def compress(arguments: argparse.Namespace) -> None:
    """Adds last.ckpt files, kept at several steps, to a chain of compressed ones; those that it holds are left out."""
    from msnoah.compression.compressing import compress_checkpoints
    from msnoah.compression.inspection import inspect_chain
    from msnoah.compression.inspection_table import chain_table
    from msnoah.compression.settings import find_settings

    chosen = {key: getattr(arguments, key) for key in SETTINGS}
    settings = find_settings(arguments.preset, **{key: value for key, value in chosen.items() if value is not None})
    chain = compress_checkpoints(
        arguments.checkpoints, arguments.chain, settings, key_frame_every=arguments.key_frame_every)
    rows = inspect_chain(chain)
    print_record({"files": rows}, arguments, text=chain_table(rows))


def restore(arguments: argparse.Namespace) -> None:
    """Writes a .ckpt that training resumes from, of the newest step or of --step; damage names the newest intact."""
    from msnoah.compression.restoring import restore_checkpoint

    print(restore_checkpoint(_chain_folder(arguments.chain), arguments.output, step=arguments.step))


def inspect(arguments: argparse.Namespace) -> None:
    """Shows sizes, what was kept, errors of reconstruction, and which files restore; an error if one does not."""
    from msnoah.compression.chain import Chain
    from msnoah.compression.inspection import check_chain, inspect_chain
    from msnoah.compression.inspection_table import chain_table, tensor_table

    rows = inspect_chain(Chain(_chain_folder(arguments.chain)))
    text = tensor_table(rows) if arguments.tensors else chain_table(rows)
    print_record({"files": rows}, arguments, text=text)
    check_chain(rows)


def convert(arguments: argparse.Namespace) -> None:
    """Writes the weights of a .ckpt, .safetensors or .pth as .ckpt or .safetensors, and reads them back to compare."""
    from msnoah.weights_file import convert_weights

    arrays = convert_weights(arguments.source, arguments.output)
    size = sum(array.nbytes for array in arrays.values())
    print(f"{arguments.output}: {len(arrays)} arrays, {size:,} bytes, read back and equal")


def _chain_folder(path: Path) -> Path:
    """The folder itself, or the chain of a run's."""
    from msnoah.run_folder import RunFolder

    run = RunFolder(path)
    return run.chain_path if run.config_path.is_file() else path


def declare_ckpt(parser: argparse.ArgumentParser) -> None:
    """The arguments of ckpt and of its actions."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for action, declare in ACTIONS.items():
        summary = action.__doc__.split("\n")[0]
        subparser = actions.add_parser(action.__name__, help=summary, description=action.__doc__)
        declare(subparser)
        subparser.set_defaults(action=action)


def _declare_compress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="FILE.ckpt", help="training states, in any order")
    parser.add_argument("--chain", type=Path, required=True, metavar="FOLDER", help="where the chain lies or will lie")
    parser.add_argument("--preset", default="balanced", help="near_lossless, balanced or extreme (default: balanced)")
    parser.add_argument("--key-frame-every", type=int, default=5, metavar="N", help="files a key frame (default: 5)")
    numbers = parser.add_argument_group("in place of a preset's numbers")
    numbers.add_argument("--tau", type=float, help="changes above tau times their median are kept")
    numbers.add_argument("--alpha", type=float, help="tau = alpha / sqrt(mean v), at most --cap")
    numbers.add_argument("--cap", type=float, help="largest tau that alpha leads to")
    numbers.add_argument("--beta", type=float, help="first moments above beta times their mean are kept")
    numbers.add_argument("--bits", type=int, help="bits of a code")
    declare_json(parser)


def _declare_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("chain", type=Path, metavar="FOLDER", help="a chain's, or a run's that holds chain/")
    parser.add_argument("--step", type=int, metavar="N", help="the optimiser step (default: the newest)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.ckpt")


def _declare_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="FILE", help="a .ckpt, .safetensors or .pth")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a .ckpt or .safetensors")


def _declare_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("chain", type=Path, metavar="FOLDER", help="a chain's, or a run's that holds chain/")
    parser.add_argument("--tensors", action="store_true", help="a line for each tensor of the newest file")
    declare_json(parser)


ACTIONS: dict[Callable[[argparse.Namespace], None], Callable[[argparse.ArgumentParser], None]] = {
    compress: _declare_compress, restore: _declare_restore, inspect: _declare_inspect, measure: declare_measure,
    convert: _declare_convert,
}
"""Actions, each with what declares its arguments."""
