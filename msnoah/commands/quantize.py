"""int8 and float16 artifacts of a run's model.onnx."""

import argparse
from typing import Any

from msnoah.commands.records import declare_json, print_record
from msnoah.errors import MsnoahError

SETTINGS = ("method", "percentile", "calibration_images", "scan_images", "accuracy_budget", "weight_bits")
"""Fields of QuantizationConfig, each of which has an option."""


def quantize(arguments: argparse.Namespace) -> None:
    """Writes int8 or float16 forms of model.onnx that keep its accuracy on the val data; exit 1 if that cannot be.

    int8 is calibrated on the train data; the layers that it harms most stay float, as few as the budget allows.
    """
    from msnoah.deploy.quantization import find_precisions, quantize_run
    from msnoah.deploy.quantization_record import describe_record
    from msnoah.run_folder import RunFolder

    run, precisions = RunFolder.open(arguments.run), find_precisions(arguments.precision)
    record = quantize_run(run, precisions, _settings(run, arguments), threads=arguments.threads)
    print_record(record, arguments, text=describe_record(record, precisions))


def declare_quantize(parser: argparse.ArgumentParser) -> None:
    """The arguments of quantize."""
    parser.add_argument("run", help="a run folder with an exported model")
    parser.add_argument("--precision", default="int8", metavar="NAME[,NAME]", help="int8, fp16 or both (default int8)")
    parser.add_argument("--method", help="of finding ranges: minmax, entropy or percentile (default: minmax)")
    parser.add_argument("--percentile", type=float, metavar="P", help="of that method (default 99.99)")
    parser.add_argument(
        "--accuracy-budget", metavar="PERCENT", help="points of accuracy that may be lost, as in 0.5%% (the default)")
    parser.add_argument(
        "--calibration-images", type=int, metavar="N", help="of the train split, or clips (default 256)")
    parser.add_argument(
        "--scan-images", type=int, metavar="N", help="of these, on which each layer is tried alone (default 64)")
    parser.add_argument("--weight-bits", type=int, help="8, or 7 for x86 processors without VNNI (default 8)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of ONNX Runtime (default 1)")
    declare_json(parser)


def _settings(run, arguments: argparse.Namespace):
    """The config's section, with options in place of some of its fields."""
    from pydantic import ValidationError

    from msnoah.deploy.quantities import parse_percentage
    from msnoah.quantization_config import QuantizationConfig

    given: dict[str, Any] = {key: getattr(arguments, key) for key in SETTINGS if getattr(arguments, key) is not None}
    if "accuracy_budget" in given:
        given["accuracy_budget"] = parse_percentage(given["accuracy_budget"])
    try:
        return QuantizationConfig(**{**run.config().quantize.model_dump(), **given})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise MsnoahError(f"{where}: {fault['msg']}, found {fault['input']!r}") from None
