"""What of an artifact an NPU runs, by the public documents of its maker."""

import argparse
from pathlib import Path

from msnoah.commands.records import declare_json, print_record
from msnoah.errors import MsnoahError

TARGETS = ("ane", "ascend310", "ascend310b", "hexagon", "kirin-npu", "rk3588")


def check(arguments: argparse.Namespace) -> None:
    """Lists what an NPU's public documents say of an ONNX graph's operators; exit 1 if some are not supported.

    With an estimate of latency where the peaks of the NPU are public, and the command that converts for it.
    """
    from msnoah.deploy.npu.facts import read_facts
    from msnoah.deploy.npu.rules import find_target
    from msnoah.deploy.target_check import check_target, raise_failures

    targets = [find_target(name) for name in _names(arguments.target)]
    facts = read_facts(_artifact(Path(arguments.artifact)), arguments.batch)
    options = {"device": arguments.device, "limit_s": arguments.limit_s, "convert": arguments.convert}
    root = arguments.output or facts.path.parent / "npu"
    checks = [check_target(facts, target, root / target.name, **options) for target in targets]
    print_record([c.to_record() for c in checks], arguments, text="\n\n".join(check.text() for check in checks))
    raise_failures(checks)


def declare_check(parser: argparse.ArgumentParser) -> None:
    """The arguments of check."""
    parser.add_argument("artifact", help="a run folder, or an .onnx file")
    parser.add_argument(
        "--target", action="append", required=True, metavar="NAME[,NAME...]",
        help=f"{', '.join(TARGETS)}, or all; may be given several times")
    parser.add_argument(
        "--batch", type=_positive, default=1, metavar="N", help="size of an open first axis (default 1)")
    parser.add_argument("--convert", action="store_true", help="run the maker's converter, where it is installed")
    parser.add_argument(
        "--device", metavar="NAME", help="what the converter calls the chip, as in Ascend310B1 (default: by target)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="of conversions (default: npu/ beside the graph)")
    parser.add_argument(
        "--limit-s", type=_positive, default=1800, metavar="S", help="time limit of a conversion (default 1800)")
    declare_json(parser)


def _names(given: list[str]) -> list[str]:
    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    if not names:
        raise MsnoahError(f"--target names no target; known: {', '.join(TARGETS)}, or all")
    return list(TARGETS) if "all" in names else list(dict.fromkeys(names))


def _artifact(path: Path) -> Path:
    """The .onnx file itself, or that of a run folder as it was exported."""
    from msnoah.deploy.artifact_file import exported_artifact, open_artifact
    from msnoah.run_folder import RunFolder

    if path.suffix == ".onnx":
        return open_artifact(path).path
    return exported_artifact(RunFolder.open(path), "onnx").path


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {text}")
    return number
