"""From MindIR to ONNX without a run folder: convert and verify."""

import argparse
from pathlib import Path

from msnoah.commands.records import declare_json, print_record
from msnoah.errors import ConversionError


def convert(arguments: argparse.Namespace) -> None:
    """Converts MindIR files to ONNX; exports of one network at different sizes to one file that takes any size."""
    if arguments.list_primitives or arguments.list_passes:
        _list(arguments)
        return
    if not arguments.mindir:
        raise ConversionError("no MindIR file given; expected `msnoah convert net.mindir`, or --list-primitives")
    from msnoah.export.file_conversion import convert_files, describe_conversion

    options = {"opset": arguments.opset, "input_names": arguments.inputs, "output_names": arguments.outputs}
    options |= {"passes": arguments.passes, "float16": arguments.float16}
    given = {name: value for name, value in options.items() if value is not None}
    record = convert_files(
        arguments.mindir, arguments.output, dynamic=arguments.dynamic, handlers=arguments.handlers, **given)
    print_record(record, arguments, text=describe_conversion(record))


def verify(arguments: argparse.Namespace) -> None:
    """Runs a MindIR in MindSpore and an ONNX file in ONNX Runtime on the same inputs; exit 1 if they differ."""
    if arguments.inputs and arguments.batches:
        raise ConversionError("--inputs has its own batch; leave --batches out")
    from msnoah.export.comparison import read_inputs, verify_onnx

    comparison = verify_onnx(
        arguments.mindir, arguments.onnx, inputs=read_inputs(arguments.inputs) if arguments.inputs else None,
        batches=arguments.batches, tolerance=arguments.tolerance, seed=arguments.seed, integers=arguments.integers)
    print_record(comparison.to_record(), arguments, text=comparison.table())
    comparison.check()


def declare_convert(parser: argparse.ArgumentParser) -> None:
    """The arguments of convert."""
    parser.add_argument("mindir", nargs="*", help="a MindIR file; or exports of one network at different sizes")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: the first file's name with .onnx")
    parser.add_argument("--opset", type=int, metavar="N", help="ONNX operator set (default 17)")
    parser.add_argument("--inputs", type=_names, metavar="NAMES", help="names for the inputs, as in image,mask")
    parser.add_argument("--outputs", type=_names, metavar="NAMES", help="names for the outputs")
    parser.add_argument(
        "--dynamic", type=_names, default=(), metavar="AXES",
        help="axes in which the exports differ, in the inputs' order, as in batch,height,width (default: batch)")
    parser.add_argument(
        "--passes", type=_names, metavar="NAMES",
        help="clean-ups that run; with a minus, as in --passes=-merge_gelus, that do not")
    parser.add_argument("--float16", choices=("weights", "all"), help="store weights, or also compute, in float16")
    parser.add_argument("--handlers", type=Path, metavar="FILE", help="a Python file with @handles for more primitives")
    parser.add_argument("--list-primitives", action="store_true", help="list the primitives that can be converted")
    parser.add_argument("--list-passes", action="store_true", help="list the clean-ups")
    declare_json(parser)


def declare_verify(parser: argparse.ArgumentParser) -> None:
    """The arguments of verify."""
    parser.add_argument("mindir", help="a MindIR file of static shapes")
    parser.add_argument("onnx", help="the ONNX file made from it")
    parser.add_argument(
        "--inputs", type=Path, metavar="FILE.npz", help="arrays by the names of the ONNX inputs (default: random)")
    parser.add_argument(
        "--batches", type=_batches, metavar="N[,N...]", help="default: 1,2,5 if the ONNX graph takes any batch")
    parser.add_argument(
        "--tolerance", type=float, default=1e-5, metavar="X", help="largest relative difference (default 1e-5)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random inputs (default 0)")
    parser.add_argument(
        "--integers", type=_range, default=(0, 2), metavar="LOW:HIGH",
        help="range of random integers, HIGH left out (default 0:2)")
    declare_json(parser)


def _list(arguments: argparse.Namespace) -> None:
    from dataclasses import asdict

    if arguments.list_passes:
        from msnoah.export.passes import list_passes

        passes = list_passes()
        text = "\n".join(f"{entry.name:30}  {entry.description}" for entry in passes)
        print_record([asdict(entry) for entry in passes], arguments, text=text)
        return
    from msnoah.export.catalog import describe_primitives, list_primitives

    if arguments.handlers:
        from msnoah.export.user_handlers import load_handlers

        load_handlers(arguments.handlers)
    primitives = list_primitives()
    print_record([asdict(p) for p in primitives], arguments, text=describe_primitives(primitives))


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _batches(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' holds a batch below 1")
    return numbers


def _range(text: str) -> tuple[int, int]:
    low, high = map(int, text.split(":"))
    if low >= high:
        raise argparse.ArgumentTypeError(f"'{text}' is empty; expected LOW:HIGH with LOW below HIGH")
    return low, high
