"""What an artifact says of itself: model, classes, preprocessing, commit and versions, in ONNX metadata and in export.json."""

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx

import msnoah
from msnoah.config import DataConfig
from msnoah.file_hash import hash_file

_PREFIX = "msnoah."
_PACKAGES = ("mindspore", "onnx", "onnxruntime", "numpy")


def describe_preprocessing(
    data: DataConfig, layout: str, *, embedded: bool, palette: Sequence[Sequence[int]] = (),
) -> dict[str, Any]:
    """What images or clips go through on their way to the artifact.

    With `embedded`, scaling and normalising happen in the graph, which takes uint8 pixels with channels last; else it
    takes float32 in `layout`. Clips have the keys `frames`, `interval` (frames from one of the clip to the next),
    `short_side` (of a frame before it is cropped) and `size`, and in `clips` and `crops` how many of a video are averaged.
    Images whose pixels are labelled have `task` "segmentation", `size`, the `view` through windows of that size (a
    SegmentationViewConfig) and the `palette` to draw classes in.
    """
    pixels = "NTHWC" if data.clip else "NHWC"
    shared = {
        "channels": data.channels, "mean": list(data.mean), "std": list(data.std), "scale": "1/255",
        "layout": pixels if embedded else layout, "dtype": "uint8" if embedded else "float32",
        "color": "RGB" if data.channels == 3 else "grey", "interpolation": data.interpolation, "embedded": embedded,
    }
    if data.segmentation:
        view = data.segmentation.val.model_dump(mode="json")
        return {"task": "segmentation", "size": data.image_size, "view": view, "palette": palette, **shared}
    if data.clip is None:
        return {"image_size": data.image_size, "crop_fraction": data.crop_fraction, **shared}
    view = data.clip.val
    return {
        "frames": data.clip.frames, "interval": data.clip.interval, "short_side": view.short_side,
        "size": data.image_size, "clips": view.clips, "crops": view.crops, **shared,
    }


def describe_file(path: Path) -> dict[str, Any]:
    """Name, SHA-256 and size of an artifact."""
    return {"file": path.name, "sha256": hash_file(path), "size_bytes": path.stat().st_size}


def find_versions() -> dict[str, str]:
    """Versions of msnoah, of the packages that an artifact depends on, and of Python."""
    return {"msnoah": msnoah.__version__, **{name: metadata.version(name) for name in _PACKAGES}, "python": platform.python_version()}


def write_metadata(model: onnx.ModelProto, record: dict[str, Any]) -> None:
    """Puts the facts of an export record into an ONNX model: producer, doc string, and one `msnoah.` property for each."""
    model.producer_name, model.producer_version = "msnoah", record["versions"]["msnoah"]
    model.doc_string = f"{record['model']}, fused and exported by msnoah from MindSpore {record['versions']['mindspore']}"
    keys = ("model", "arguments", "merging", "classes", "preprocessing", "commit", "versions", "created")
    properties = {key: record[key] for key in keys if key in record} | {"verified": record["verification"]["passed"]}
    texts = {_PREFIX + key: value if isinstance(value, str) else json.dumps(value) for key, value in properties.items()}
    others = {item.key: item.value for item in model.metadata_props if not item.key.startswith(_PREFIX)}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, others | texts)


def read_metadata(model: onnx.ModelProto) -> dict[str, Any]:
    """The facts that `write_metadata` put in, by the same keys; empty for a model of another producer."""
    ours = {item.key.removeprefix(_PREFIX): item.value for item in model.metadata_props if item.key.startswith(_PREFIX)}
    return {key: value if key in ("model", "created") else _parse(value) for key, value in ours.items()}


def describe_export(record: dict[str, Any]) -> str:
    """An export record as lines for a terminal: artifacts, then the worst difference of each."""
    verification, parameters = record["verification"], record["parameters"]
    lines = [f"{record['model']}: {parameters['trained']:,} parameters trained, {parameters['fused']:,} after fusing"]
    if "merging" in record:
        lines.append(_merging_line(record["merging"]))
    for name, artifact in record["artifacts"].items():
        kinds = artifact.get("operators") or artifact["primitives"]
        worst = max((check for check in verification["checks"] if check["artifact"] == name), key=lambda check: check["max_rel"])
        batches = sorted({check["batch"] for check in verification["checks"]})
        lines.append(f"{artifact['file']:13} {artifact['size_bytes'] / 1e6:7.2f} MB  {sum(kinds.values())} nodes")
        lines.append(f"{'':13} max difference {worst['max_rel']:.1e} relative, {worst['max_abs']:.1e} absolute, batches {batches}")
    verdict = "verified" if verification["passed"] else "NOT verified"
    lines.append(f"{verdict} on {verification['inputs']} (tolerance {verification['tolerance']:.0e})")
    return "\n".join(lines)


def _merging_line(merging: dict[str, Any]) -> str:
    left = f"{merging['tokens'][-1]} tokens left after the last"
    line = f"tokens merged by each block: {merging['tokens_merged']}; {left}"
    if merging["plugin"] is None:
        return line
    name = Path(merging["plugin"]["file"]).name
    return f"{line}; compensated from {merging['source_degree']}, scale {merging['tocom_scale']:g}, by {name}"


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
