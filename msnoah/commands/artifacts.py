"""Artifacts of a run: MindIR and ONNX, at the number of merged tokens that is asked for, and families of them."""

import argparse
from typing import Any

from msnoah.commands.records import declare_json, print_record

SETTINGS = (
    "opset", "embed_preprocessing", "frames_as_channels", "fast_convolutions", "label_map", "tolerance",
    "tokens_merged", "source_degree", "tocom_scale", "plugin", "token_merging", "family",
)
"""Fields of ExportConfig that have an option of the same name."""


def export(arguments: argparse.Namespace) -> None:
    """Writes model.mindir and model.onnx from the fused model and verifies both; exit 1 if they differ.

    With --family also ONNX files for several numbers of merged tokens, which share one file of weights.
    """
    from msnoah.export.exporter import export_run
    from msnoah.export.family import describe_family, export_family
    from msnoah.export.metadata import describe_export
    from msnoah.run_folder import RunFolder

    run, overrides = RunFolder.open(arguments.run), _overrides(arguments)
    record = export_run(run, checkpoint=arguments.checkpoint, **overrides)
    text = describe_export(record)
    if overrides.get("family") or run.config().export.family:
        family = export_family(run, checkpoint=arguments.checkpoint, **overrides)
        record, text = {**record, "family": family}, f"{text}\n{describe_family(family)}"
    print_record(record, arguments, text=text)


def declare_export(parser: argparse.ArgumentParser) -> None:
    """The arguments of export."""
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--checkpoint", default="best", help="best, last, or a file (default: best)")
    parser.add_argument("--opset", type=int, help="ONNX opset, 17 or newer")
    parser.add_argument(
        "--embed-preprocessing", action="store_true", default=None,
        help="take uint8 NHWC images, normalise in the graph")
    parser.add_argument(
        "--logits", action="store_false", dest="label_map", default=None,
        help="of a segmentation run: logits instead of labels")
    parser.add_argument(
        "--frames-as-channels", action="store_true", default=None, help="take clips as images of channels * frames")
    parser.add_argument(
        "--fast-convolutions", action="store_true", default=None,
        help="ONNX for CPUs: 3x3 convolutions of half the products")
    parser.add_argument("--tolerance", type=float, help="largest relative difference that passes (default 1e-5)")
    _declare_merging(parser)
    declare_json(parser)


def _declare_merging(parser: argparse.ArgumentParser) -> None:
    merging = parser.add_argument_group("models that merge tokens")
    merging.add_argument(
        "--tokens-merged", type=tokens, metavar="N[,N...]",
        help="tokens that each block merges, one number or one a block (default: as trained)")
    merging.add_argument(
        "--source-degree", type=tokens, metavar="N[,N...]",
        help="what ToCom's plugin takes tokens_merged to have been in training (default: as trained)")
    merging.add_argument(
        "--tocom-scale", type=float, metavar="S", help="how much of the plugin is added (default: 0.1)")
    merging.add_argument("--plugin", metavar="FILE_OR_RUN", help="where ToCom's plugin is, if not in the checkpoint")
    merging.add_argument(
        "--token-merging", choices=("gather", "matrix"),
        help="how: by sorting and gathering, or by products alone (default: gather)")
    merging.add_argument(
        "--family", type=degrees, metavar="N,N,...",
        help="also an ONNX file in family/ for each of these numbers of merged tokens")


def _overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    chosen = {key: getattr(arguments, key) for key in SETTINGS}
    return {key: value for key, value in chosen.items() if value is not None}


def degrees(text: str) -> list[int]:
    """`0,8,16` as numbers of merged tokens."""
    numbers = [int(part) if part.strip().isdigit() else -1 for part in text.split(",")]
    if min(numbers) < 0:
        raise argparse.ArgumentTypeError(f"'{text}': expected whole numbers of tokens, 0 or more, as in 0,8,16")
    return numbers


def tokens(text: str) -> int | list[int]:
    """`16` as one number for all blocks, `8,8,4` as one a block."""
    numbers = degrees(text)
    return numbers if len(numbers) > 1 else numbers[0]
