"""An exported model at work on images, a film or a camera."""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from msnoah.commands.records import declare_json
from msnoah.errors import DataError

SMOOTHING = 0.5


def demo(arguments: argparse.Namespace) -> None:
    """Shows what an ONNX artifact alone makes of a film or camera or of images, whose pixels it labels."""
    run = _open_demo(arguments)
    try:
        with closing(iter(run)) as records:
            for record in records:
                _print(run, record, arguments.json)
    except KeyboardInterrupt:
        if not arguments.camera:   # which ends in no other way
            raise
    finally:
        if run.done:
            print(json.dumps({"summary": run.summary()}) if arguments.json else "\n".join(run.totals()))


def declare_demo(parser: argparse.ArgumentParser) -> None:
    """The arguments of demo."""
    parser.add_argument(
        "source", help="a video file, an address (rtsp://, http:// ...), or with --camera its number; "
        "of a segmentation run also an image, or a folder of images")
    parser.add_argument("run", help="a run folder with an exported model, or an .onnx file that msnoah exported")
    parser.add_argument(
        "--camera", action="store_true", help="SOURCE is the number of a camera, as in 0; Ctrl-C ends it")
    parser.add_argument(
        "--output", type=Path, metavar="PATH",
        help="the film (.mp4), the picture (.png), or the folder of pictures (default: demo/ beside the model)")
    parser.add_argument(
        "--no-film", action="store_true", help="only print, draw neither film nor picture; a window there never is")
    parser.add_argument(
        "--stride", type=int, metavar="N",
        help="frames from one clip to the next (default: as many as it has), or to the next that is labelled (1)")
    parser.add_argument(
        "--smoothing", type=float, metavar="A",
        help=f"A of the probabilities shown come from the clips before, 1 - A from the new one (default {SMOOTHING})")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of ONNX Runtime (default 1)")
    declare_json(parser)


def _open_demo(arguments: argparse.Namespace):
    """The demo of the task that the artifact's metadata tell."""
    from msnoah.deploy.exported_model import read_facts, segments

    artifact = _find_artifact(Path(arguments.run))
    source = _camera_number(arguments.source) if arguments.camera else arguments.source
    return (_open_segmentation if segments(read_facts(artifact)) else _open_classification)(artifact, source, arguments)


def _open_classification(artifact: Path, source: str | int, arguments: argparse.Namespace):
    from msnoah.deploy.classifier import Classifier
    from msnoah.deploy.demo import Demo
    from msnoah.deploy.streaming import StreamClassifier

    if isinstance(source, str) and Path(source).is_dir():
        raise DataError(f"{source}: a folder; {artifact} classifies films and cameras, and labels no images")
    classifier = _say_verified(Classifier(artifact, arguments.threads))
    smoothing = SMOOTHING if arguments.smoothing is None else arguments.smoothing
    stream = StreamClassifier(classifier, stride=arguments.stride, smoothing=smoothing)
    return Demo(source, classifier, stream, _name_output(artifact, source, arguments))


def _open_segmentation(artifact: Path, source: str | int, arguments: argparse.Namespace):
    from msnoah.deploy.segmentation_demo import FilmDemo, PictureDemo, is_picture
    from msnoah.deploy.segmenter import Segmenter

    if arguments.smoothing is not None:
        raise DataError(f"--smoothing is for classifiers, but {artifact} labels pixels")
    is_image = is_picture(source)
    if is_image and arguments.stride is not None:
        raise DataError(f"--stride is for films, but {source} is none")
    segmenter = _say_verified(Segmenter(artifact, arguments.threads))
    output = _name_output(artifact, source, arguments, is_image)
    if is_image:
        return PictureDemo(Path(source), segmenter, output)
    return FilmDemo(source, segmenter, output, arguments.stride)


def _say_verified(model):
    if not model.verified:
        print(f"{model.path}: not verified: its outputs differ from the trained model's", file=sys.stderr)
    return model


def _find_artifact(path: Path) -> Path:
    """The .onnx file itself, or that of a run folder, as it was exported."""
    if path.suffix == ".onnx":
        return path
    from msnoah.deploy.artifact_file import exported_artifact
    from msnoah.run_folder import RunFolder

    return exported_artifact(RunFolder.open(path), "onnx").path


def _camera_number(text: str) -> int:
    if not text.isdecimal():
        raise DataError(f"--camera: expected the number of a camera, as in 0, found '{text}'")
    return int(text)


def _name_output(
    artifact: Path, source: str | int, arguments: argparse.Namespace, is_image: bool = False,
) -> Path | None:
    """The film's file, or the folder of pictures."""
    if arguments.no_film or arguments.output:
        return None if arguments.no_film else arguments.output
    folder = artifact.parent / "demo"
    name = f"camera_{source}" if isinstance(source, int) else Path(source).stem or "stream"
    return folder if is_image else folder / f"{name}.mp4"


def _print(run, record: dict[str, Any], as_json: bool) -> None:
    from tqdm import tqdm

    if "error" in record:
        tqdm.write(f"msnoah demo: {record['error']}", file=sys.stderr)
    if as_json or "error" not in record:
        tqdm.write(json.dumps(record) if as_json else run.line(record))
    sys.stdout.flush()
