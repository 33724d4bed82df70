"""An exported classifier at work on a film or camera."""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from msnoah.commands.records import declare_json
from msnoah.errors import DataError


def demo(arguments: argparse.Namespace) -> None:
    """Classifies a film or camera while it runs, from the ONNX artifact alone, and writes an annotated film."""
    from msnoah.deploy.classifier import Classifier
    from msnoah.deploy.demo import Demo
    from msnoah.deploy.streaming import StreamClassifier

    classifier = Classifier(_find_artifact(Path(arguments.run)), arguments.threads)
    if not classifier.verified:
        print(f"{classifier.path}: not verified: its outputs differ from the trained model's", file=sys.stderr)
    stream = StreamClassifier(classifier, stride=arguments.stride, smoothing=arguments.smoothing)
    source = _camera_number(arguments.video) if arguments.camera else arguments.video
    film = None if arguments.no_film else arguments.output or _name_film(classifier.path, source)
    run = Demo(source, classifier, stream, film)
    try:
        with closing(iter(run)) as windows:
            for window in windows:
                _print_window(run.describe(window), arguments.json)
    except KeyboardInterrupt:
        if not arguments.camera:   # which ends in no other way
            raise
    finally:
        if run.frames:
            _print_summary(run.summary(), arguments.json)


def declare_demo(parser: argparse.ArgumentParser) -> None:
    """The arguments of demo."""
    parser.add_argument("video", help="a video file, an address (rtsp://, http:// ...), or with --camera its number")
    parser.add_argument("run", help="a run folder with an exported model, or an .onnx file that msnoah exported")
    parser.add_argument(
        "--camera", action="store_true", help="VIDEO is the number of a camera, as in 0; Ctrl-C ends it")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.mp4", help="the film (default: demo/<video>.mp4 beside the model)")
    parser.add_argument("--no-film", action="store_true", help="only print; a window on the screen there never is")
    parser.add_argument(
        "--stride", type=int, metavar="N", help="frames from one clip to the next (default: as many as a clip has)")
    parser.add_argument(
        "--smoothing", type=float, default=0.5, metavar="A",
        help="A of the probabilities shown come from the clips before, 1 - A from the new one (default 0.5)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of ONNX Runtime (default 1)")
    declare_json(parser)


def _find_artifact(path: Path) -> Path:
    """The .onnx file itself, or that of a run folder, as it was exported."""
    if path.suffix == ".onnx":
        return path
    from msnoah.deploy.artifact import exported_artifact
    from msnoah.run_folder import RunFolder

    return exported_artifact(RunFolder.open(path), "onnx").path


def _camera_number(text: str) -> int:
    if not text.isdecimal():
        raise DataError(f"--camera: expected the number of a camera, as in 0, found '{text}'")
    return int(text)


def _name_film(artifact: Path, source: str | int) -> Path:
    name = f"camera_{source}" if isinstance(source, int) else Path(source).stem or "stream"
    return artifact.parent / "demo" / f"{name}.mp4"


def _print_window(record: dict[str, Any], as_json: bool) -> None:
    from tqdm import tqdm

    text = f"{record['time_s']:9.2f} s  {record['probability']:6.1%}  {record['label']}"
    tqdm.write(json.dumps(record) if as_json else text)
    sys.stdout.flush()


def _print_summary(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"summary": record}))
        return
    shares = ", ".join(f"{label} {share:.0%}" for label, share in record["labels"].items())
    lines = [f"{record['frames']} frames, {record['windows']} windows: {shares or 'no label'}"]
    if record["cpu_ms"]:
        lines.append("CPU time of a window: " + ", ".join(f"{q} {ms:.3g} ms" for q, ms in record["cpu_ms"].items()))
    speeds = f"{record['frames_per_s']:.1f} frames/s, {record['frames_per_cpu_s']:.1f} a second of CPU time"
    lines.append(f"{speeds}, with decoding and drawing")
    if record["real_time_factor"]:
        lines.append(f"{record['real_time_factor']:.2f} times the film's {record['source_frames_per_s']:.4g} frames/s")
    print("\n".join([*lines, *([record["film"]] if record["film"] else [])]))
