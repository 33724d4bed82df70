"""Latency of a run's artifacts, or of one file, with its circumstances."""

import argparse
import sys
from pathlib import Path

from msnoah.commands.profile_settings import chosen_settings, declare_measuring, profile_settings
from msnoah.commands.records import declare_json, print_record
from msnoah.errors import MsnoahError


def profile(arguments: argparse.Namespace) -> None:
    """Measures the latency of a run's artifacts, or of one .onnx or .tflite file, on this machine or on devices."""
    from msnoah.deploy.latency_table import latency_table
    from msnoah.deploy.operator_table import operator_tables

    profiles = _measure(Path(arguments.target), arguments)
    failures = [f"not measured: {words}" for words in profiles.describe_failures()]
    tables = map(operator_tables, profiles) if arguments.operators else ()
    text = "\n".join([latency_table(profiles), *failures, *tables])
    print_record([p.to_record() for p in profiles], arguments, text=text)
    if arguments.json:
        print("\n".join(failures), end="\n" if failures else "", file=sys.stderr)


def declare_profile(parser: argparse.ArgumentParser) -> None:
    """The arguments of profile."""
    parser.add_argument("target", help="a run folder, or an .onnx or .tflite file")
    parser.add_argument(
        "--runtime", action="extend", type=_names, metavar="NAME[,NAME...]",
        help="of those that `msnoah runtimes` lists, or all; may be given several times")
    parser.add_argument("--threads", type=_integers, metavar="N[,N...]", help="thread counts, as in 1,2")
    parser.add_argument(
        "--precision", type=_names, metavar="NAME[,NAME...]",
        help="which artifacts, as in fp32,fp16,int8 (default: fp32); `msnoah quantize` writes the other two")
    parser.add_argument(
        "--sustained", metavar="TIME",
        help="also run each row on and on for so long, as in 5min, and look for throttling")
    parser.add_argument(
        "--operators", action="store_true",
        help="print times by operator and by module, beside what the machine's measured peaks allow")
    parser.add_argument(
        "--device", action="append", metavar="NAME_OR_YAML",
        help="measure there instead of here, as `msnoah devices` lists them; may be given several times")
    parser.add_argument(
        "--resume", action="store_true",
        help="go on: rows that the run folder has with the same artifact and settings are not measured again")
    declare_measuring(parser)
    declare_json(parser)


def _what(arguments: argparse.Namespace) -> dict[str, list]:
    """The fields of ProfileConfig that say what is measured, each value once."""
    from msnoah.deploy.runtimes.table import RUNTIMES

    lists = {"runtimes": arguments.runtime, "threads": arguments.threads, "precisions": arguments.precision}
    if "all" in (arguments.runtime or ()):
        lists["runtimes"] = list(RUNTIMES)
    return {field: list(dict.fromkeys(values)) for field, values in lists.items() if values is not None}


def _measure(target: Path, arguments: argparse.Namespace):
    from msnoah.deploy.profiler import profile_artifact, profile_run
    from msnoah.errors import ProfileError
    from msnoah.run_folder import RunFolder

    chosen = {**_what(arguments), **chosen_settings(arguments)}
    options = {"sustained_s": _sustained_s(arguments.sustained), "roofline": arguments.operators,
               "places": _places(arguments)}
    if target.suffix not in (".onnx", ".tflite"):
        run = RunFolder.open(target)
        return profile_run(run, profile_settings(run, chosen), resume=arguments.resume, **options)
    if arguments.resume:
        raise ProfileError("--resume needs a run folder: nothing is kept of a single file")
    if arguments.precision:
        raise ProfileError(f"--precision chooses among a run's artifacts; {target} has the one that it has")
    return profile_artifact(target, profile_settings(None, chosen), **options)


def _places(arguments: argparse.Namespace) -> list:
    """This machine, or the chosen devices, where the YAML's runtimes are measured if none is asked for."""
    from msnoah.deploy.device_config import find_devices
    from msnoah.deploy.places import HERE, device_place

    devices = find_devices(arguments.device or [])
    return [device_place(device, only=arguments.runtime is None) for device in devices] or [HERE]


def _sustained_s(text: str | None) -> float | None:
    from msnoah.deploy.quantities import parse_duration

    seconds = None if text is None else parse_duration(text)
    if seconds is not None and seconds < 1:
        raise MsnoahError(f"--sustained {text}: expected at least 1 s, as in 5min")
    return seconds


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]
