"""Accuracy of a run: of its checkpoint in MindSpore, or of its ONNX artifact in ONNX Runtime."""

import argparse
from typing import Any

from msnoah.commands.records import declare_json, print_record
from msnoah.errors import ArtifactError


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluates a run on its validation data; --artifact onnx does so from model.onnx alone, without MindSpore.

    Of a segmentation run, the artifact's predictions for some images are drawn into predictions/, for the report.
    """
    from msnoah.run_folder import RunFolder, write_json

    run = RunFolder.open(arguments.run)
    if arguments.artifact:
        record, path = _evaluate_onnx(run, arguments), run.onnx_evaluation_path
    else:
        record, path = _evaluate_checkpoint(run, arguments), run.evaluation_path
    write_json(path, record)
    print_record(record, arguments)


def declare_eval(parser: argparse.ArgumentParser) -> None:
    """The arguments of eval."""
    parser.add_argument("run", help="a run folder")
    parser.add_argument(
        "--artifact", choices=("onnx",), help="evaluate model.onnx in ONNX Runtime; writes evaluation_onnx.json")
    parser.add_argument("--checkpoint", default="best", help="best, last, or a file (default: best)")
    parser.add_argument("--device", choices=("CPU", "GPU", "Ascend"), help="default: the device of the config")
    parser.add_argument(
        "--views", choices=("val", "test"), default="val",
        help="how clips, or images with masks, are looked at: data.clip.val, data.segmentation.val ... (default: val)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of ONNX Runtime (default 1)")
    declare_json(parser)


def _evaluate_checkpoint(run, arguments: argparse.Namespace) -> dict[str, Any]:
    from msnoah.training.evaluator import evaluate_run

    return evaluate_run(run, checkpoint=arguments.checkpoint, device=arguments.device, views=arguments.views)


def _evaluate_onnx(run, arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.checkpoint != "best" or arguments.device:
        raise ArtifactError("--checkpoint and --device belong to MindSpore; leave them out with --artifact onnx")
    from msnoah.deploy.evaluation import evaluate_artifact

    return evaluate_artifact(run, views=arguments.views, threads=arguments.threads)
