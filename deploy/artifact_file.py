"""Artifacts found: a file by its path, or one of a run as its export.json describes it."""

import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import Any

from msnoah.deploy.artifact import EXPORTED, Artifact, TensorSpec
from msnoah.deploy.tflite_file import weight_counts
from msnoah.errors import ProfileError
from msnoah.file_hash import hash_file
from msnoah.run_folder import RunFolder

# Types of ONNX weights that give a graph its precision.
PRECISIONS = {
    "FLOAT": "float32",
    "FLOAT16": "float16",
    "BFLOAT16": "bfloat16",
    "DOUBLE": "float64",
    "INT8": "int8",
    "UINT8": "int8",
}


def open_artifact(path: str | Path) -> Artifact:
    """An ONNX or TensorFlow Lite file without a run folder: nothing is known of its verification.

    Raises:
        ProfileError: no such file, another suffix, or not a graph of that kind.
    """
    path = Path(path)
    if path.suffix not in OPENERS:
        raise ProfileError(f"{path}: expected a run folder or a file that ends in {' or '.join(OPENERS)}")
    return OPENERS[path.suffix](path)


def _open_tflite(path: Path) -> Artifact:
    sha256, size = _hash(path)
    try:
        counts = weight_counts(path.read_bytes())
    except ValueError as error:
        raise ProfileError(f"{path}: not a TensorFlow Lite model: {error}") from error
    precision = counts.most_common(1)[0][0] if counts else "float32"
    return Artifact(path=path, kind="tflite", model=path.stem, sha256=sha256, size_bytes=size, precision=precision)


def _open_onnx(path: Path) -> Artifact:
    sha256, size = _hash(path)
    graph = read_model(path).graph
    weights = {name: _hash(path.parent / name)[0] for name in sorted(_outer_weights(graph))}
    return Artifact(
        path=path, kind="onnx", model=path.stem, sha256=combined_hash(sha256, *weights.values()),
        size_bytes=size + sum(_outer_weights(graph).values()), precision=_precision(graph),
    )


OPENERS = {".onnx": _open_onnx, ".tflite": _open_tflite}
"""What opens a file of a kind that `msnoah profile` takes by its path, by suffix."""


def weight_files(path: Path) -> list[str]:
    """The files in which an .onnx file has weights, as it names them, by name."""
    return sorted(_outer_weights(read_model(path).graph))


def combined_hash(sha256: str, *weights: str) -> str:
    """The hash of a file, or, if its weights lie in other files, that of the lines of its and their hashes."""
    return hashlib.sha256("\n".join([sha256, *weights]).encode()).hexdigest() if weights else sha256


PRECISION_NAMES = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
"""What `--precision` calls them, and what a Profile does."""


def artifact_key(kind: str, precision: str) -> str:
    """The name of an artifact in export.json: onnx, mindir, onnx_fp16, onnx_int8."""
    return kind if precision == "fp32" else f"{kind}_{precision}"


def exported_artifact(run: RunFolder, kind: str, precision: str = "fp32") -> Artifact:
    """The artifact of a run as export.json describes it.

    Args:
        run: a folder with an exported model.
        kind: "onnx" or "mindir".
        precision: one of PRECISION_NAMES; fp16 and int8 are what `msnoah quantize` made of model.onnx.

    Raises:
        RunFolderError: nothing exported yet.
        ProfileError: an unknown precision, export.json has no such artifact, or the file is not the one that was
            exported, or was made from another export.
    """
    record = run.export_record()
    entry, anew = _find_entry(run, record, kind, precision)
    path = run.path / entry["file"]
    sha256, size = _hash(path)
    if sha256 != entry.get("sha256"):
        raise ProfileError(
            f"{path}: stale: its sha256 is {sha256[:12]}, but export.json says {str(entry.get('sha256'))[:12]};"
            f" {anew} writes both anew"
        )
    try:
        verified, max_rel = _verification(record, kind) if precision == "fp32" else _own_verification(entry)
        inputs = tuple(_spec(row) for row in entry.get("inputs", record.get("inputs", [])))
    except (KeyError, TypeError, AttributeError) as error:
        raise ProfileError(f"{run.export_path}: damaged ({error!r:.200}); {anew} writes it anew") from error
    stored = PRECISION_NAMES[precision]
    if precision == "fp32":
        stored = _precision(read_model(path).graph) if kind == "onnx" else _input_precision(inputs)
    return Artifact(
        path=path, kind=kind, model=str(record.get("model", run.name)), sha256=sha256, size_bytes=size,
        precision=stored, verified=verified, max_rel=max_rel, batch=entry.get("batch"), inputs=inputs,
    )


def _find_entry(run: RunFolder, record: dict[str, Any], kind: str, precision: str) -> tuple[dict[str, Any], str]:
    """An artifact's entry in export.json, and the command that makes it anew."""
    if precision not in PRECISION_NAMES:
        raise ProfileError(f"precision '{precision}' is not known; use {', '.join(PRECISION_NAMES)}")
    artifacts, key, quantized = record.get("artifacts", {}), artifact_key(kind, precision), precision != "fp32"
    command = f"quantize {run.path} --precision {precision}" if quantized else f"export {run.path}"
    entry, anew = artifacts.get(key), f"`msnoah {command}`"
    if not isinstance(entry, dict) or "file" not in entry:
        raise ProfileError(f"{run.export_path}: lists no {key} artifact; {anew} writes it")
    origin = artifacts.get(kind) or {}
    if quantized and entry.get("made_from") != origin.get("sha256"):
        file = f"{origin.get('file', kind)} than export.json lists"
        raise ProfileError(f"{run.path / entry['file']}: stale: made from another {file}; {anew} makes it anew")
    return entry, anew


def _hash(path: Path) -> tuple[str, int]:
    try:
        return hash_file(path), path.stat().st_size
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error


def _verification(record: dict[str, Any], kind: str) -> tuple[bool | None, float | None]:
    """Whether this artifact's own checks passed, and the largest relative difference among them."""
    checks = [check for check in record.get("verification", {}).get("checks", []) if check.get("artifact") == kind]
    if not checks:
        return (False if kind in EXPORTED else None), None   # what quantize writes is judged by its accuracy
    differences = [check["max_rel"] for check in checks if isinstance(check.get("max_rel"), (int, float))]
    return all(check.get("passed") is True for check in checks), max(differences, default=None)


def _own_verification(entry: dict[str, Any]) -> tuple[bool, float | None]:
    """Whether a quantised artifact kept the accuracy that was asked for, and how far its outputs are off."""
    verification = entry["verification"]
    return verification["passed"] is True, verification["max_rel"]


def _spec(row: dict[str, Any]) -> TensorSpec:
    """A row of export.json; a symbolic axis ("batch", -1 or null) becomes None."""
    shape = tuple(axis if isinstance(axis, int) and axis >= 0 else None for axis in row["shape"])
    return TensorSpec(name=row["name"], shape=shape, dtype=row["dtype"])


def _input_precision(inputs: tuple[TensorSpec, ...]) -> str:
    return next((spec.dtype for spec in inputs if spec.dtype.startswith("float")), "float32")


def read_model(path: Path):
    """The model of an ONNX file, without weights that lie elsewhere.

    Raises:
        ProfileError: not an ONNX model.
    """
    import onnx  # here: it is heavy

    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no public home that all its versions share
        raise ProfileError(f"{path}: not an ONNX model: {error}") from error


def _outer_weights(graph) -> dict[str, int]:
    """Bytes that a graph has in other files, by file."""
    sizes: Counter[str] = Counter()
    for tensor in graph.initializer:
        places = {entry.key: entry.value for entry in tensor.external_data}
        if places:
            sizes[places["location"]] += int(places.get("length", 0))
    return sizes


def _precision(graph) -> str:
    """The type that most weights have, by number of elements."""
    import onnx

    sizes: Counter[str] = Counter()
    for tensor in graph.initializer:
        name = PRECISIONS.get(onnx.TensorProto.DataType.Name(tensor.data_type))
        if name:
            sizes[name] += math.prod(tensor.dims)
    return sizes.most_common(1)[0][0] if sizes else "float32"
