"""Training, by one process or by several."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msnoah.commands.records import declare_json, print_record

if TYPE_CHECKING:
    from msnoah.config import RunConfig
    from msnoah.run_folder import RunFolder


def train(arguments: argparse.Namespace) -> None:
    """Trains what a YAML describes, or goes on with a run (--resume); with --workers, by several processes."""
    from msnoah.config_file import load_config

    source = Path(arguments.config)
    is_run = source.is_dir()
    config_path, run_path = (source / "config.yaml", source) if is_run else (source, Path("runs") / source.stem)
    config = load_config(config_path, arguments.set)
    run_path = arguments.run or run_path
    record = (_train if arguments.workers == 1 else _launch)(arguments, config, run_path)
    if record is not None:
        print_record(record, arguments)


def _launch(arguments: argparse.Namespace, config: "RunConfig", path: Path) -> dict[str, Any]:
    from msnoah.errors import TrainingError
    from msnoah.sharding import Shard
    from msnoah.training.launcher import launch

    if "MS_ROLE" in os.environ:
        raise TrainingError("--workers starts msrun, but msrun has started this process; leave it out")
    Shard(0, arguments.workers).size(config.train.batch_size)   # wrong use should not cost the start of workers
    run = _open(path, config, arguments.resume)
    program = ["-m", "msnoah", "train", arguments.config, "--run", str(path),
               *(f"--set={change}" for change in arguments.set), *(["--resume"] if arguments.resume else [])]
    return launch(program, arguments.workers, run, config.device)


def _train(arguments: argparse.Namespace, config: "RunConfig", path: Path) -> dict[str, Any] | None:
    """The record of training; None where it is not this process that shows it."""
    from msnoah.training.lifeline import hold_lifeline

    hold_lifeline()   # first of all: MindSpore's import and the wait for other workers take seconds
    from msnoah.run_folder import RunFolder, write_json
    from msnoah.training.device import select_device
    from msnoah.training.launcher import RECORD_VARIABLE
    from msnoah.training.trainer import train as run_training
    from msnoah.training.worker_group import join_group

    select_device(config.device)
    group = join_group()
    run = _open(path, config, arguments.resume) if group.is_first else None
    group.wait()
    record = run_training(config, run or RunFolder(path), resume=arguments.resume, group=group)
    kept = os.environ.get(RECORD_VARIABLE)
    if group.is_first and kept:
        write_json(Path(kept), record)
    return record if group.is_first and not kept else None


def _open(path: Path, config: "RunConfig", resume: bool) -> "RunFolder":
    from msnoah.run_folder import RunFolder

    return RunFolder.open(path) if resume else RunFolder.create(path, config)


def declare_train(parser: argparse.ArgumentParser) -> None:
    """The arguments of train."""
    parser.add_argument("config", help="a YAML file; or a run folder, with --resume")
    parser.add_argument("--run", type=Path, help="the run folder (default: runs/<name of the YAML>)")
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint, bit for bit")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="override a key, as in train.epochs=10")
    parser.add_argument("--workers", type=int, default=1, metavar="N",
                        help="processes of this machine that share each batch, one a device (default: 1)")
    declare_json(parser)
