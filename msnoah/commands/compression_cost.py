"""What compressing a run's kept states costs: `msnoah ckpt measure`."""

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msnoah.commands.records import declare_json, print_record


def measure(arguments: argparse.Namespace) -> None:
    """Compresses a run's kept states by every preset, evaluates what comes back, and compares with controls.

    Writes RUN/compression.json, which `msnoah report RUN` shows.
    """
    from msnoah.compression.measurement_summary import measurement_table
    from msnoah.compression.measuring import measure_compression
    from msnoah.data.spread_source import check_part
    from msnoah.run_folder import RunFolder, write_json

    run = RunFolder.open(arguments.run)
    circumstances = _circumstances(run)
    evaluators = []

    def open_evaluator():
        from msnoah.training.state_evaluator import StateEvaluator

        evaluators.append(StateEvaluator(run, images=arguments.val_images, device=arguments.device))
        return evaluators[0]

    config, every = run.config(), arguments.key_frame_every
    check_part(config.data, arguments.val_images)   # now, rather than after minutes of coding
    with _termination_as_interrupt():
        measured = measure_compression(
            _find_states(run, arguments), arguments.presets.split(","), open_evaluator,
            key_frame_every=config.checkpoint.key_frame_every if every is None else every,
            controls=[] if arguments.controls == "none" else arguments.controls.split(","))
    record = {**circumstances, "val_images": evaluators[0].images, **measured}
    write_json(run.compression_path, record)
    print_record(record, arguments, text=measurement_table(record))


def declare_measure(parser: argparse.ArgumentParser) -> None:
    """The arguments of measure."""
    parser.add_argument("run", help="a run folder")
    parser.add_argument(
        "checkpoints", nargs="*", type=Path, metavar="FILE.ckpt",
        help="its training states (default: RUN/checkpoints/*.ckpt, which `checkpoint: {keep_last: all}` keeps)")
    parser.add_argument(
        "--presets", default="near_lossless,balanced,extreme", metavar="NAME[,NAME]", help="default: all")
    parser.add_argument(
        "--controls", default="lossless,moments_dropped,float16", metavar="NAME[,NAME]",
        help="what presets are compared with; it takes longer than they do (default: all; none: nothing)")
    parser.add_argument("--last", type=int, metavar="N", help="the newest N states alone")
    parser.add_argument(
        "--key-frame-every", type=int, metavar="N",
        help="one file in N is one (default: the config's, 5 if it says nothing)")
    parser.add_argument(
        "--val-images", type=int, metavar="N", help="evaluate on so many, spread over the val split (default: all)")
    parser.add_argument("--device", choices=("CPU", "GPU", "Ascend"), help="default: the device of the config")
    declare_json(parser)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM acts as Ctrl-C does, which leaves no temporary files behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _find_states(run, arguments: argparse.Namespace) -> list[Path]:
    from msnoah.compression.compressing import find_steps
    from msnoah.errors import CheckpointError

    paths = arguments.checkpoints or sorted(run.checkpoints_path.glob("*.ckpt"))
    if not paths:
        raise CheckpointError(f"{run.checkpoints_path}: holds no training states; `checkpoint: {{keep_last: all}}` in "
                              "the config keeps them, or name files")
    if arguments.last is None:
        return paths
    if arguments.last < 2:
        raise CheckpointError(f"--last {arguments.last}: expected 2 or more")
    return [path for _, path in sorted(find_steps(paths).items())][-arguments.last:]


def _circumstances(run) -> dict[str, Any]:
    import msnoah
    from msnoah.deploy.device import read_device
    from msnoah.source_commit import find_commit

    device = read_device()
    return {"model": run.config().model.name, "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "msnoah": msnoah.__version__, "commit": find_commit(), "chip": device.chip, "cores": device.cores,
            "load_average": device.load_average}
