"""One built MindCV model: our conversion, its parity with MindSpore, and its speed beside the native exporter's graph.

Run by `sweep.py`. Usage: python measure_model.py FOLDER [--time]; adds to the folder's record.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from msnoah.errors import MsnoahError
from msnoah.export.converter import mindir_to_onnx

ROUNDS = 15
"""Interleaved rounds; a round runs each graph until it has taken ROUND_S."""

ROUND_S = 0.1
ULP = 6e-8
"""Half the spacing of float32 numbers: what rounding the input alone may change, relatively."""


def open_session(model: bytes | str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def runner(session: onnxruntime.InferenceSession, image: np.ndarray) -> Callable[[], list[np.ndarray]]:
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: image})


def relative_error(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The worst over the outputs of max|difference| / max|expected|; infinite for another count, shape or NaN."""
    if [a.shape for a in found] != [a.shape for a in expected] or not all(np.isfinite(a).all() for a in found):
        return float("inf")
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True))


def convert(folder: Path, record: dict) -> bytes:
    start = time.process_time()
    model = mindir_to_onnx(find_mindir(folder))
    record["convert_cpu_s"] = round(time.process_time() - start, 2)
    record["operators"] = len(model.graph.node)
    contents = model.SerializeToString()
    record["size_mb"] = round(len(contents) / 1e6, 2)
    return contents


def find_mindir(folder: Path) -> Path:
    whole = folder / "net.mindir"
    return whole if whole.exists() else folder / "net_graph.mindir"


def compare(session, folder: Path, record: dict) -> None:
    with np.load(folder / "reference.npz") as arrays:
        image, *expected = (arrays[key] for key in arrays.files)
    ours = runner(session, image)()
    record["error"] = relative_error(ours, expected)
    noise = np.random.default_rng(0).choice((-ULP, ULP), image.shape).astype(np.float32)
    record["noise"] = relative_error(runner(session, image + image * noise)(), ours)


def describe_native(folder: Path, record: dict) -> None:
    native = folder / "native.onnx"
    record["native_operators"] = len(onnx.load(native, load_external_data=False).graph.node)
    record["native_size_mb"] = round(native.stat().st_size / 1e6, 2)


def time_both(ours, folder: Path, record: dict) -> None:
    """CPU time of one thread, ours and native in turn; the ratio is the median of the rounds' ratios."""
    with np.load(folder / "reference.npz") as arrays:
        image, expected = arrays["arr_0"], [arrays[key] for key in arrays.files[1:]]
    runs = [runner(ours, image), runner(open_session(str(folder / "native.onnx")), image)]
    record["native_error"] = relative_error(runs[1](), expected)
    counts = [max(1, int(ROUND_S / cpu_time(run, 1))) for run in runs]
    times = np.array([[cpu_time(run, count) for run, count in zip(runs, counts, strict=True)] for _ in range(ROUNDS)])
    record["cpu_ms"], record["native_cpu_ms"] = (round(1000 * float(ms), 2) for ms in np.median(times, axis=0))
    record["ratio"] = round(float(np.median(times[:, 0] / times[:, 1])), 3)


def cpu_time(run: Callable, count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        run()
    return (time.process_time() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--time", action="store_true", help="measure beside the native graph")
    arguments = parser.parse_args()
    path = arguments.folder / "record.json"
    record = json.loads(path.read_text())
    ours = record["ours"] = {}
    try:
        session = open_session(convert(arguments.folder, ours))
        compare(session, arguments.folder, ours)
        if (arguments.folder / "native.onnx").exists():
            describe_native(arguments.folder, ours)
            if arguments.time:
                time_both(session, arguments.folder, ours)
    except MsnoahError as error:
        ours["failure"] = str(error)
    except Exception as error:  # ONNX Runtime refuses the graph: as much a failure of ours as the former.
        ours["failure"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    finally:
        path.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
